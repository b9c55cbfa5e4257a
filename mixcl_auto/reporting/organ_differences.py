"""Differences of two arms organ by organ: over folds first, and over cases alone beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixcl_auto.metrics.averaging import Interval, mean_defined
from mixcl_auto.metrics.paired_tests import bootstrap_interval, holm, wilcoxon_p
from mixcl_auto.records.experiment import Unit
from mixcl_auto.reporting.arms import fold_interval, fold_means, organ_mean
from mixcl_auto.reporting.grid import SCRATCH, Figure, Grid, ScoredRun

_BOOTSTRAP_SEED = 20_211
"""Of every interval anew, so that one organ's does not depend on which others there are."""


@dataclass(frozen=True)
class OrganDifference:
    """One organ in an arm minus the baseline, on the (fold, seed) pairs that both have.

    What begins with ``case`` and both p ignore training noise: they speak of other cases segmented by the
    same trained networks.
    """

    organ: str
    pairs: int
    """Of runs that have a figure of the organ in both arms."""
    expected: int
    mean: float | None
    """Over folds, of the mean over their pairs; a run's figure is that over the held-out cases that count."""
    interval: Interval | None
    """95 %, as `fold_interval` has it; none below two pairs.

    Where the organ's Dice is 0 in every run of both arms, there is no interval and no p at all: nothing was
    found that could be compared.
    """
    cases: int
    """That have a figure in both arms of a pair; a case's difference is the mean over its pairs."""
    patients: int
    unpaired: int
    """Cases that have a figure in one arm alone: there is no such organ, and one arm predicts it."""
    case_mean: float | None
    case_interval: Interval | None
    """95 % bootstrap over patients; none below six."""
    p_value: float | None
    """Wilcoxon's signed-rank test on patients."""
    p_holm: float | None
    """The same, corrected over the organs of this comparison."""


@dataclass(frozen=True)
class CaseDifferences:
    """One organ's differences case by case."""

    patients: tuple[str, ...]
    differences: tuple[float, ...]
    unpaired: int


def organ_differences(
    grid: Grid,
    dataset: str,
    init: str,
    fraction: float,
    baseline: str = SCRATCH,
    *,
    figure: Figure = "dice",
) -> list[OrganDifference]:
    """Compare two arms organ by organ, in the order of the labels; empty where they share no run."""
    first, second = grid.arm(dataset, init, fraction), grid.arm(dataset, baseline, fraction)
    pairs = [(first[unit], second[unit]) for unit in first if unit in second]
    organs = list(dict.fromkeys(score.organ for pair in pairs for run in pair for score in run.scores))
    expected = grid.expected_units(dataset, init, fraction)
    by_case = [case_differences(pairs, organ, figure) for organ in organs]
    p_values = [wilcoxon_p(found.differences, found.patients) for found in by_case]
    rows = zip(organs, by_case, p_values, holm(p_values), strict=True)
    return [_describe(pairs, organ, figure, expected, found, *p) for organ, found, *p in rows]


def case_differences(
    pairs: Sequence[tuple[ScoredRun, ScoredRun]], organ: str, figure: Figure
) -> CaseDifferences:
    """Each case's mean difference over the pairs of runs that hold it out and both have its figure.

    Args:
        pairs: the arm's run and the baseline's of one fold and seed.
        organ: to compare.
        figure: to compare.
    """
    found: dict[str, list[float]] = {}
    patients: dict[str, str] = {}
    alone: set[str] = set()
    for ours, theirs in pairs:
        other = {score.case: getattr(score, figure) for score in theirs.scores if score.organ == organ}
        for score in ours.scores:
            if score.organ != organ:
                continue
            mine, its = getattr(score, figure), other.get(score.case)
            if mine is not None and its is not None:
                found.setdefault(score.case, []).append(mine - its)
                patients[score.case] = score.patient
            elif mine is not None or its is not None:
                alone.add(score.case)
    means = (mean_defined(found[case]) for case in sorted(found))
    return CaseDifferences(
        patients=tuple(patients[case] for case in sorted(found)),
        differences=tuple(mean for mean in means if mean is not None),
        unpaired=len(alone - found.keys()),
    )


def _describe(
    pairs: Sequence[tuple[ScoredRun, ScoredRun]],
    organ: str,
    figure: Figure,
    expected: int,
    by_case: CaseDifferences,
    p_value: float | None,
    p_holm: float | None,
) -> OrganDifference:
    runs = _run_differences(pairs, organ, figure)
    if _nothing_found(pairs, organ):
        interval = case_interval = p_value = p_holm = None
    else:
        generator = np.random.default_rng(_BOOTSTRAP_SEED)
        interval = fold_interval(runs)
        case_interval = bootstrap_interval(by_case.differences, by_case.patients, generator)
    return OrganDifference(
        organ=organ,
        pairs=len(runs),
        expected=expected,
        mean=mean_defined(fold_means(runs)),
        interval=interval,
        cases=len(by_case.differences),
        patients=len(set(by_case.patients)),
        unpaired=by_case.unpaired,
        case_mean=mean_defined(by_case.differences),
        case_interval=case_interval,
        p_value=p_value,
        p_holm=p_holm,
    )


def _nothing_found(pairs: Sequence[tuple[ScoredRun, ScoredRun]], organ: str) -> bool:
    return not any(organ_mean(run, organ, "dice") for pair in pairs for run in pair)


def _run_differences(
    pairs: Sequence[tuple[ScoredRun, ScoredRun]], organ: str, figure: Figure
) -> dict[Unit, float]:
    """Per fold and seed the difference of the runs' means over the cases that count, where both have one."""
    differences = {}
    for pair in pairs:
        ours, theirs = (organ_mean(run, organ, figure) for run in pair)
        if ours is not None and theirs is not None:
            differences[pair[0].key.unit] = ours - theirs
    return differences
