"""Differences of Dice with their intervals: the findings at a glance, and organ by organ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mixcl_auto.drawing.palette import INK, arm_colours, arm_markers, legend_text, new_figure, save_figure
from mixcl_auto.metrics.averaging import Interval
from mixcl_auto.reporting.axes import add_legend, dress
from mixcl_auto.reporting.grid import SCRATCH, Grid
from mixcl_auto.reporting.headline import Verdict
from mixcl_auto.reporting.organ_differences import organ_differences
from mixcl_auto.reporting.roles import comparisons
from mixcl_auto.reporting.table_formats import percent_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW_INCHES = 0.24
_GROUP_GAP = 0.6
_LEAST_REACH = 0.02


@dataclass(frozen=True)
class _Bar:
    """A difference in a diagram of differences."""

    group: str
    """The rows that stand together, such as an organ."""
    name: str
    """Of the comparison."""
    mean: float
    interval: Interval | None


def draw_findings(grid: Grid, verdicts: Sequence[Verdict], target: str, path: Path) -> Path | None:
    """Draw the verdicts on a target, grouped by the share of labels; nothing if there are none."""
    bars = [
        _Bar(
            f"{percent_text(verdict.fraction)} of the labels",
            f"{verdict.init} - {verdict.baseline}",
            verdict.difference,
            verdict.interval,
        )
        for verdict in verdicts
        if verdict.target == target
    ]
    if not bars:
        return None
    figure = new_figure(7.6, _height(bars))
    axis = figure.subplots()
    _draw_bars(axis, bars, _looks(grid), target)
    add_legend(figure, [axis], columns=3)
    return save_figure(figure, path)


def draw_organ_differences(grid: Grid, target: str, path: Path) -> Path | None:
    """Draw each arm minus scratch for every organ, a panel per share of labels; nothing without pairs."""
    panels = {
        fraction: bars for fraction in grid.fractions(target) if (bars := _organ_bars(grid, target, fraction))
    }
    if not panels:
        return None
    height = max(_height(bars) for bars in panels.values())
    figure = new_figure(max(6.4, 1.9 + 3.3 * len(panels)), height)
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, (fraction, bars) in zip(axes, panels.items(), strict=True):
        _draw_bars(axis, bars, _looks(grid), f"{percent_text(fraction)} of the labels")
    add_legend(figure, axes, columns=3)
    return save_figure(figure, path)


def _organ_bars(grid: Grid, target: str, fraction: float) -> list[_Bar]:
    """Organ by organ, in it comparison by comparison."""
    inits = [each.init for each in comparisons(grid) if each.baseline == SCRATCH]
    found = [
        _Bar(each.organ, f"{init} - {SCRATCH}", each.mean, each.interval)
        for init in inits
        for each in organ_differences(grid, target, init, fraction)
        if each.mean is not None
    ]
    organs = list(dict.fromkeys(bar.group for bar in found))
    return sorted(found, key=lambda bar: organs.index(bar.group))


def _looks(grid: Grid) -> dict[str, tuple[str, str]]:
    """Colour and marker of each comparison: those of its first arm, a star where another arm is taken off."""
    inits = tuple(dict.fromkeys((*grid.inits, *(each.init for each in comparisons(grid)))))
    colours, markers = arm_colours(inits), arm_markers(inits)
    return {
        f"{each.init} - {each.baseline}": (
            colours[each.init],
            markers[each.init] if each.baseline == SCRATCH else "*",
        )
        for each in comparisons(grid)
    }


def _height(bars: Sequence[_Bar]) -> float:
    groups = len({bar.group for bar in bars})
    return 1.5 + _ROW_INCHES * (len(bars) + _GROUP_GAP * groups)


def _draw_bars(axis: "Axes", bars: Sequence[_Bar], looks: Mapping[str, tuple[str, str]], title: str) -> None:
    """One row per bar from top to bottom; the interval as a line, the group's name at its middle row."""
    rows: dict[str, list[float]] = {}
    place, named = 0.0, set()
    for bar in bars:
        if rows and bar.group not in rows:
            place -= _GROUP_GAP
        rows.setdefault(bar.group, []).append(place)
        colour, marker = looks[bar.name]
        if bar.interval is not None:
            axis.plot([bar.interval.low, bar.interval.high], [place] * 2, color=colour, lw=2)
        label = legend_text(bar.name) if bar.name not in named else "_nolegend_"
        named.add(bar.name)
        axis.plot([bar.mean], [place], color=colour, marker=marker, ls="none", ms=7, label=label)
        place -= 1
    axis.axvline(0, color=INK, lw=1)
    axis.set_yticks([sum(p) / len(p) for p in rows.values()], list(rows))
    axis.set_ylim(place + 0.3, 0.7)
    reach = max(_LEAST_REACH, 1.15 * max(abs(bar.mean) for bar in bars), *(_reach(bar) for bar in bars))
    axis.set_xlim(-reach, reach)
    dress(axis, title, "difference of Dice (right: the first is better)", "", lines="x")


def _reach(bar: _Bar) -> float:
    """How far a bar's interval goes from 0, as far as it is worth drawing: those of two runs are endless."""
    if bar.interval is None:
        return 0.0
    return min(1.08 * max(abs(bar.interval.low), abs(bar.interval.high)), max(0.3, 4 * abs(bar.mean)))
