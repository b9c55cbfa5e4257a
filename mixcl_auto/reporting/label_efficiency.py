"""Dice over the share of labels, a line per initialisation."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mixcl_auto.drawing.palette import arm_colours, arm_markers, legend_text, new_figure, save_figure
from mixcl_auto.reporting.arms import headlines
from mixcl_auto.reporting.axes import draw_arm, dress
from mixcl_auto.reporting.grid import Grid
from mixcl_auto.reporting.table_formats import percent_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SPREAD = 0.12
"""The lines stand apart by so much of the distance between two shares, or their intervals would overlap."""
_MARGIN = 0.03


def draw_label_efficiency(grid: Grid, target: str, path: Path) -> Path | None:
    """Draw each arm's mean over folds with its 95 % interval, and a point per run; nothing without runs.

    The frame holds the means and the points; a wide interval of few runs is cut at it.
    """
    fractions = grid.fractions(target)
    drawn = [init for init in grid.inits if any(grid.arm(target, init, f) for f in fractions)]
    if not drawn:
        return None
    figure = new_figure(7.6, 4.4)
    axis = figure.subplots()
    offsets = np.linspace(-_SPREAD, _SPREAD, len(drawn)) if len(drawn) > 1 else np.zeros(1)
    everything = [
        value
        for init, offset in zip(drawn, offsets, strict=True)
        for value in _draw_arm(axis, grid, target, init, float(offset))
    ]
    axis.set_xticks(range(len(fractions)), [percent_text(fraction) for fraction in fractions])
    axis.set_xlim(-0.5, len(fractions) - 0.5)
    if everything:
        axis.set_ylim(max(0.0, min(everything) - _MARGIN), min(1.0, max(everything) + _MARGIN))
    dress(axis, target, "share of the training labels", "Dice, mean over organs and cases")
    axis.legend(frameon=False, title="initialisation", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return save_figure(figure, path)


def _draw_arm(axis: "Axes", grid: Grid, target: str, init: str, offset: float) -> list[float]:
    """Draw one line; all its points."""
    runs_at = {
        place + offset: headlines(grid.arm(target, init, fraction))
        for place, fraction in enumerate(grid.fractions(target))
    }
    looks = (arm_colours(grid.inits)[init], arm_markers(grid.inits)[init])
    return draw_arm(axis, runs_at, colour=looks[0], marker=looks[1], label=legend_text(init))
