"""How all diagrams of the report look."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from mixcl_auto.drawing.palette import GRID_LINE, INK
from mixcl_auto.records.experiment import Unit
from mixcl_auto.reporting.arms import fold_interval, fold_means

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def dress(axis: "Axes", title: str, x_label: str, y_label: str, *, lines: Literal["x", "y"] = "y") -> None:
    """Set the titles, and leave of the frame the bottom line, of the grid the lines that help reading.

    Args:
        axis: to dress.
        title: above it, on the left.
        x_label: below it.
        y_label: beside it.
        lines: the axis at whose ticks grid lines start.
    """
    axis.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    axis.set_xlabel(x_label, color=INK)
    axis.set_ylabel(y_label, color=INK)
    axis.grid(axis=lines, color=GRID_LINE, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(colors=INK, length=0)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(GRID_LINE)


def draw_arm(
    axis: "Axes", runs_at: Mapping[float, Mapping[Unit, float]], *, colour: str, marker: str, label: str
) -> list[float]:
    """Draw an arm's line: a point per run, and over their places the means over folds with 95 % intervals.

    Args:
        axis: to draw into.
        runs_at: place along x to the figures of the runs there, ascending; places without runs are left out.
        colour: of all.
        marker: of all.
        label: in the legend.

    Returns:
        The figures of all points.
    """
    there = {place: runs for place, runs in runs_at.items() if runs}
    for place, runs in there.items():
        axis.scatter(
            [place] * len(runs),
            list(runs.values()),
            s=16,
            alpha=0.45,
            linewidths=0,
            color=colour,
            marker=marker,
        )
        if interval := fold_interval(runs):
            axis.plot([place] * 2, [interval.low, interval.high], color=colour, lw=1.4, alpha=0.8)
    means = [fmean(fold_means(runs)) for runs in there.values()]
    axis.plot(list(there), means, color=colour, marker=marker, label=label, lw=2.2, ms=7)
    return [value for runs in there.values() for value in runs.values()]


def add_legend(figure: "Figure", axes: Sequence["Axes"], *, columns: int) -> None:
    """One legend below all panels, each label in it once."""
    handles = {
        label: handle
        for axis in axes
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=min(columns, len(handles)),
        frameon=False,
    )
