"""How all diagrams of the report look."""

from typing import TYPE_CHECKING, Literal

from mixcl_auto.drawing.palette import GRID_LINE, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
