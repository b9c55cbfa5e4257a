"""Dice over the steps of the runs, a line per initialisation."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mixcl_auto.drawing.palette import arm_colours, arm_markers, legend_text, new_figure, save_figure
from mixcl_auto.reporting.arms import headlines
from mixcl_auto.reporting.axes import add_legend, draw_arm, dress
from mixcl_auto.reporting.budget import Budget
from mixcl_auto.reporting.table_formats import percent_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SPREAD = 0.12
"""The lines stand apart by so much of the least distance between two steps."""
_MARGIN = 0.03


def draw_budget(budget: Budget, target: str, path: Path) -> Path | None:
    """Draw each arm's mean over folds after each step with its 95 % interval, a panel per share of labels.

    Nothing is drawn where no run was scored before its end. The frame holds the means and the points of
    single runs; a wide interval of few runs is cut at it.
    """
    fractions = [one for one in budget.grid.fractions(target) if budget.steps(target, one)]
    if not fractions:
        return None
    figure = new_figure(max(6.4, 1.2 + 3.2 * len(fractions)), 4.4)
    axes = figure.subplots(1, len(fractions), squeeze=False, sharey=True)[0]
    everything: list[float] = []
    for axis, fraction in zip(axes, fractions, strict=True):
        everything += _draw_panel(axis, budget, target, fraction)
        dress(axis, f"{percent_text(fraction)} of the labels", "step", "")
    axes[0].set_ylabel("Dice, mean over organs and cases")
    if everything:
        axes[0].set_ylim(max(0.0, min(everything) - _MARGIN), min(1.0, max(everything) + _MARGIN))
    add_legend(figure, axes, columns=4)
    return save_figure(figure, path)


def _draw_panel(axis: "Axes", budget: Budget, target: str, fraction: float) -> list[float]:
    """Draw the lines of one share of labels; all their points."""
    steps = budget.steps(target, fraction)
    inits = [init for init in budget.grid.inits if budget.grid.arm(target, init, fraction)]
    reach = _SPREAD * min((later - step for step, later in pairwise(steps)), default=0)
    offsets = np.linspace(-reach, reach, len(inits)) if len(inits) > 1 else np.zeros(1)
    axis.set_xticks(steps)
    everything = []
    for init, offset in zip(inits, offsets, strict=True):
        everything += _draw_arm(axis, budget, (target, init, fraction), steps, float(offset))
    return everything


def _draw_arm(
    axis: "Axes", budget: Budget, arm: tuple[str, str, float], steps: Sequence[int], offset: float
) -> list[float]:
    """Draw one line; all its points."""
    init = arm[1]
    runs_at = {step + offset: headlines(budget.at_step[step].arm(*arm)) for step in steps}
    looks = (arm_colours(budget.grid.inits)[init], arm_markers(budget.grid.inits)[init])
    return draw_arm(axis, runs_at, colour=looks[0], marker=looks[1], label=legend_text(init))
