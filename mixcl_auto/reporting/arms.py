"""Figures of an arm (one initialisation on one share of a target's labels), and differences of two arms."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixcl_auto.metrics.averaging import Interval, Spread, mean_defined, mean_per_organ, spread, t_interval
from mixcl_auto.records.experiment import Unit
from mixcl_auto.reporting.grid import SCRATCH, Figure, Grid, ScoredRun


@dataclass(frozen=True)
class ArmFigure:
    """Mean and standard deviation over the arm's runs, of so many that should be there."""

    found: Spread | None
    expected: int


@dataclass(frozen=True)
class Difference:
    """An arm minus the baseline, over the (fold, seed) pairs that both have."""

    pairs: int
    expected: int
    mean: float | None
    """Over folds, of the mean over a fold's seeds."""
    interval: Interval | None
    """95 %, as `fold_interval` has it; none below two pairs."""
    folds: int = 0
    """Of the pairs: several seeds of one fold speak of that fold alone."""
    nothing_found: bool = False
    """Dice is 0 in every run of both arms, which leaves nothing to be compared: there is no interval."""


@dataclass(frozen=True)
class OrganFigures:
    """One organ in one arm; each figure over its runs, of which each is a mean over the cases that count."""

    organ: str
    runs: int
    cases: int
    missed: int
    invented: int
    dice: Spread | None
    hd95_mm: Spread | None
    surface_dice: Spread | None


def arm_figure(grid: Grid, dataset: str, init: str, fraction: float, figure: Figure = "dice") -> ArmFigure:
    """Describe an arm by the headline of each of its runs."""
    return ArmFigure(
        spread(list(headlines(grid.arm(dataset, init, fraction), figure).values())),
        grid.expected_units(dataset, init, fraction),
    )


def headlines(arm: Mapping[Unit, ScoredRun], figure: Figure = "dice") -> dict[Unit, float]:
    """The headline of each of an arm's runs that has one, by fold and seed."""
    return {unit: value for unit, run in arm.items() if (value := run.headline(figure)) is not None}


def difference(
    grid: Grid,
    dataset: str,
    init: str,
    fraction: float,
    *,
    baseline: str = SCRATCH,
    figure: Figure = "dice",
) -> Difference:
    """Compare an arm with the baseline run by run; computed from unrounded values."""
    first, second = grid.arm(dataset, init, fraction), grid.arm(dataset, baseline, fraction)
    differences: dict[Unit, float] = {}
    dice: list[float | None] = []
    for unit in sorted(first.keys() & second.keys()):
        ours, theirs = first[unit].headline(figure), second[unit].headline(figure)
        if ours is not None and theirs is not None:
            differences[unit] = ours - theirs
            dice += [first[unit].headline(), second[unit].headline()]
    nothing_found = bool(dice) and not any(dice)
    return Difference(
        pairs=len(differences),
        expected=grid.expected_units(dataset, init, fraction),
        mean=mean_defined(fold_means(differences)),
        interval=None if nothing_found else fold_interval(differences),
        folds=len(fold_means(differences)),
        nothing_found=nothing_found,
    )


def fold_means(values: Mapping[Unit, float]) -> list[float]:
    """The mean over the seeds of each fold, which share its training and held-out cases."""
    folds: dict[int, list[float]] = {}
    for (fold, _), value in values.items():
        folds.setdefault(fold, []).append(value)
    return [math.fsum(seeds) / len(seeds) for seeds in folds.values()]


def fold_interval(values: Mapping[Unit, float]) -> Interval | None:
    """95 % Student-t over folds, or of a single fold over its seeds; none below two values.

    Seeds of a fold are no independent runs: over all runs the interval would be too narrow
    (``docs/statistics.md``).
    """
    means = fold_means(values)
    return t_interval(means if len(means) > 1 else list(values.values()))


def organ_figures(grid: Grid, dataset: str, init: str, fraction: float) -> list[OrganFigures]:
    """Describe every organ of an arm, in the order of the labels."""
    runs = list(grid.arm(dataset, init, fraction).values())
    organs = dict.fromkeys(score.organ for run in runs for score in run.scores)
    return [_organ(runs, organ) for organ in organs]


def _organ(runs: Sequence[ScoredRun], organ: str) -> OrganFigures:
    counted = [s for run in runs for s in run.scores if s.organ == organ and s.dice is not None]
    return OrganFigures(
        organ=organ,
        runs=len(runs),
        cases=len(counted),
        missed=sum(score.prediction_voxels == 0 for score in counted),
        invented=sum(score.reference_voxels == 0 for score in counted),
        dice=_organ_spread(runs, organ, "dice"),
        hd95_mm=_organ_spread(runs, organ, "hd95_mm"),
        surface_dice=_organ_spread(runs, organ, "surface_dice"),
    )


def _organ_spread(runs: Sequence[ScoredRun], organ: str, figure: Figure) -> Spread | None:
    means = (organ_mean(run, organ, figure) for run in runs)
    return spread([mean for mean in means if mean is not None])


def organ_mean(run: ScoredRun, organ: str, figure: Figure) -> float | None:
    """One organ's mean over a run's held-out cases that count."""
    rows = ((s.case, s.organ, getattr(s, figure)) for s in run.scores if s.organ == organ)
    return mean_per_organ(rows).get(organ, (None, 0))[0]
