"""``progress.png``: the columns of a run's log over its steps."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.io.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = NDArray[np.float64]
Curve = tuple[FloatArray, FloatArray]
"""Steps and values."""

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
"""Okabe and Ito's colours and a dash for each, so that no curve is told by its colour alone."""

_MOST_WITH_VALUES = 3
"""With more curves in a panel their thin lines hide one another: the running means stand alone."""


@dataclass(frozen=True)
class Panel:
    """One diagram: a title and the log's columns in it.

    Attributes:
        title: above it; the name of the quantity where there is but one column.
        columns: of the log.
        is_log: whether the values, if all are above 0, are drawn on a log scale.
        is_share: whether they lie between 0 and 1, which are then the ends of the scale.
        is_smooth: whether they do not scatter, so that their running mean would only lag behind.
        is_paired: whether the columns compare, so that steps at which one has no value are left out of all.
    """

    title: str
    columns: tuple[str, ...]
    is_log: bool = False
    is_share: bool = False
    is_smooth: bool = False
    is_paired: bool = False


EVERY_RUN = (
    Panel("Norm of the gradient, log scale", ("gradient_norm",), is_log=True),
    Panel("Learning rate", ("learning_rate",), is_smooth=True),
)
"""What every trainer logs."""

TIME = Panel("Seconds per step, and those of them that it waits for samples", ("all", "waiting"))


def draw_curves(
    log: Path, image: Path, panels: Sequence[Panel], *, timing: Path | None = None, title: str = ""
) -> None:
    """Draw a log as a picture, two panels in a row: thin the values, thick their running mean.

    Columns that are absent or empty are left out; so is a panel without any.

    Args:
        log: ``log.csv``.
        image: a PNG, replaced at once.
        panels: besides those of every run.
        timing: ``timing.csv``, for the time that steps take.
        title: of the picture; the last step is added.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = read_columns(log)
    drawn = [(panel, _curves(columns, panel)) for panel in (*panels, *EVERY_RUN)]
    if timing is not None and timing.exists():
        drawn.append((TIME, _curves(_time_columns(timing), TIME)))
    drawn = [(panel, curves) for panel, curves in drawn if curves]
    if not drawn:
        return
    rows = -(-len(drawn) // 2)
    figure = Figure(figsize=(12, 2.7 * rows + 0.4), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 2, squeeze=False).flat
    for axis in axes[len(drawn) :]:
        axis.remove()
    for axis, (panel, curves) in zip(axes, drawn, strict=False):
        _draw_panel(axis, panel, curves)
        axis.set_xlim(0, columns["step"][-1])
    figure.suptitle(f"{title}, step {columns['step'][-1]:.0f}".removeprefix(", "), fontsize=11)
    with replacing(image) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def _draw_panel(axis: "Axes", panel: Panel, curves: Mapping[str, Curve]) -> None:
    for number, (label, (steps, values)) in enumerate(
        zip(short_labels(curves), curves.values(), strict=True)
    ):
        colour, dashes = _COLOURS[number % len(_COLOURS)], _DASHES[number % len(_DASHES)]
        if len(curves) <= _MOST_WITH_VALUES and not panel.is_smooth:
            axis.plot(steps, values, color=colour, alpha=0.3, linewidth=0.7)
        line = values if panel.is_smooth else running_mean(values)
        alone = "o" if len(steps) == 1 else ""  # a line of one point is not seen
        axis.plot(steps, line, color=colour, linestyle=dashes, marker=alone, label=label)
    _set_scale(axis, panel, curves)
    has_legend = len(curves) > 1
    axis.set_title(panel.title, fontsize=10, loc="left", pad=20 if has_legend else 6)
    if has_legend:
        legend = axis.legend(
            fontsize=8, ncols=len(curves), frameon=False, loc="lower left", bbox_to_anchor=(-0.02, 0.98)
        )
        legend.set_in_layout(False)  # else a long one makes all panels narrower
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)
    axis.set_xlabel("step", fontsize=8)


def _set_scale(axis: "Axes", panel: Panel, curves: Mapping[str, Curve]) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    if panel.is_log and all((values > 0).all() for _, values in curves.values()):
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_minor_locator(NullLocator())
        axis.yaxis.set_major_formatter("{x:g}")
    if panel.is_share:
        axis.set_ylim(-0.03, 1.03)


def short_labels(names: Iterable[str]) -> list[str]:
    """Columns as words, without the words that all of several begin with: those are the panel's title."""
    words = [name.split("_") for name in names]
    shared = 0
    while len(words) > 1 and all(len(one) > shared + 1 for one in words):
        if len({one[shared] for one in words}) > 1:
            break
        shared += 1
    return [" ".join(one[shared:]) for one in words]


def _curves(columns: Mapping[str, FloatArray], panel: Panel) -> dict[str, Curve]:
    """The columns of a panel that have values, where they have them."""
    found = {name: columns[name] for name in panel.columns if name in columns}
    if panel.is_paired:
        found = paired(found)
    known = {name: np.isfinite(values) for name, values in found.items()}
    return {
        name: (columns["step"][known[name]], values[known[name]])
        for name, values in found.items()
        if known[name].any()
    }


def paired(columns: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Columns with NaN wherever one of them has it, so that their means are over the same steps."""
    missing = np.any([np.isnan(values) for values in columns.values()], axis=0)
    return {name: np.where(missing, np.nan, values) for name, values in columns.items()}


def _time_columns(timing: Path) -> dict[str, FloatArray]:
    columns = read_columns(timing)
    return {
        "step": columns["step"],
        "all": columns["seconds"],
        "waiting": columns["seconds"] * columns["waiting_share"],
    }


def read_columns(log: Path) -> dict[str, FloatArray]:
    """A log's columns by name; an empty cell is NaN."""
    with log.open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file))
    values = np.array([[float(cell) if cell else np.nan for cell in row] for row in rows])
    return dict(zip(header, values.reshape(len(rows), len(header)).T, strict=True))


def running_mean(values: FloatArray, share: float = 0.05) -> FloatArray:
    """The mean over the latest values, as many as ``share`` of all; fewer at the start."""
    width = max(1, round(len(values) * share))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - width)
    means: FloatArray = (sums[ends] - sums[starts]) / (ends - starts)
    return means
