"""Differences of Dice with their intervals: the findings at a glance, and organ by organ."""

from collections.abc import Iterable, Mapping, Sequence
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
    looks = _looks(grid)
    places = _places(bars, looks)
    figure = new_figure(7.6, _height(places))
    axis = figure.subplots()
    _draw_bars(axis, bars, places, looks, target)
    add_legend(figure, [axis], columns=3)
    return save_figure(figure, path)


def draw_organ_differences(grid: Grid, target: str, path: Path) -> Path | None:
    """Draw each arm minus scratch for every organ, a panel per share of labels; nothing without pairs."""
    panels = {
        fraction: bars for fraction in grid.fractions(target) if (bars := _organ_bars(grid, target, fraction))
    }
    if not panels:
        return None
    looks = _looks(grid)
    places = _places([bar for bars in panels.values() for bar in bars], looks)
    figure = new_figure(max(6.4, 1.9 + 3.3 * len(panels)), _height(places))
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, (fraction, bars) in zip(axes, panels.items(), strict=True):
        _draw_bars(axis, bars, places, looks, f"{percent_text(fraction)} of the labels")
    add_legend(figure, axes, columns=3)
    return save_figure(figure, path)


def _organ_bars(grid: Grid, target: str, fraction: float) -> list[_Bar]:
    """Each arm's difference in each organ that has one."""
    inits = [each.init for each in comparisons(grid) if each.baseline == SCRATCH]
    return [
        _Bar(each.organ, f"{init} - {SCRATCH}", each.mean, each.interval)
        for init in inits
        for each in organ_differences(grid, target, init, fraction)
        if each.mean is not None
    ]


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


def _places(bars: Sequence[_Bar], names: Iterable[str]) -> dict[tuple[str, str], float]:
    """The row of each group and comparison, from 0 downwards; panels that share an axis share these."""
    there = {(bar.group, bar.name) for bar in bars}
    places, place, names = {}, 0.0, list(names)
    for group in dict.fromkeys(bar.group for bar in bars):
        for name in names:
            if (group, name) in there:
                places[group, name] = place
                place -= 1
        place -= _GROUP_GAP
    return places


def _height(places: Mapping[tuple[str, str], float]) -> float:
    return 1.5 + _ROW_INCHES * (1 + _GROUP_GAP - min(places.values()))


def _draw_bars(
    axis: "Axes",
    bars: Sequence[_Bar],
    places: Mapping[tuple[str, str], float],
    looks: Mapping[str, tuple[str, str]],
    title: str,
) -> None:
    """Each bar in its row: the interval as a line, the group's name at its middle row."""
    named = set()
    for bar in bars:
        place = places[bar.group, bar.name]
        colour, marker = looks[bar.name]
        if bar.interval is not None:
            axis.plot([bar.interval.low, bar.interval.high], [place] * 2, color=colour, lw=2)
        label = legend_text(bar.name) if bar.name not in named else "_nolegend_"
        named.add(bar.name)
        axis.plot([bar.mean], [place], color=colour, marker=marker, ls="none", ms=7, label=label)
    axis.axvline(0, color=INK, lw=1)
    rows: dict[str, list[float]] = {}
    for (group, _), place in places.items():
        rows.setdefault(group, []).append(place)
    axis.set_yticks([sum(found) / len(found) for found in rows.values()], list(rows))
    axis.set_ylim(min(places.values()) - 0.7, 0.7)
    reach = max(_LEAST_REACH, 1.15 * max(abs(bar.mean) for bar in bars), *(_reach(bar) for bar in bars))
    axis.set_xlim(-reach, reach)
    dress(axis, title, "difference of Dice (right: the first is better)", "", lines="x")


def _reach(bar: _Bar) -> float:
    """How far a bar's interval goes from 0, as far as it is worth drawing: those of two runs are endless."""
    if bar.interval is None:
        return 0.0
    return min(1.08 * max(abs(bar.interval.low), abs(bar.interval.high)), max(0.3, 4 * abs(bar.mean)))
