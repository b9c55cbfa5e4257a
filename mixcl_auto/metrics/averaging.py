"""Means over organs, cases and runs, and intervals over folds, of figures that may be undefined.

The headline of a run is the mean over the organs of each case, then over its cases (every case weighs the
same, however many organs it has); that of an arm is the mean over its runs, one per fold and seed.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A mean difference with its Student-t interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Spread:
    """How many values there are, their mean, and their standard deviation (n - 1) from two values on."""

    count: int
    mean: float
    deviation: float | None


def mean_defined(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are defined; undefined if none is."""
    defined = [value for value in values if value is not None]
    return math.fsum(defined) / len(defined) if defined else None


def mean_over_organs_then_cases(rows: Iterable[tuple[str, str, float | None]]) -> float | None:
    """The headline of one run.

    Args:
        rows: case, organ and figure; undefined where the organ does not count.
    """
    return mean_defined(mean_per_case(rows).values())


def mean_per_case(rows: Iterable[tuple[str, str, float | None]]) -> dict[str, float | None]:
    """For each case the mean over its organs, in order of appearance."""
    by_case: dict[str, list[float | None]] = {}
    for case, _, value in rows:
        by_case.setdefault(case, []).append(value)
    return {case: mean_defined(values) for case, values in by_case.items()}


def mean_per_organ(rows: Iterable[tuple[str, str, float | None]]) -> dict[str, tuple[float | None, int]]:
    """For each organ the mean over the cases that count, and their number, in order of appearance."""
    by_organ: dict[str, list[float | None]] = {}
    for _, organ, value in rows:
        by_organ.setdefault(organ, []).append(value)
    return {
        organ: (mean_defined(values), sum(value is not None for value in values))
        for organ, values in by_organ.items()
    }


def spread(values: Sequence[float]) -> Spread | None:
    """Number, mean and standard deviation; nothing for no values."""
    if not values:
        return None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(len(values), math.fsum(values) / len(values), deviation)


def t_interval(differences: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Mean +- t(n - 1) s / sqrt(n) of independent differences, such as one per fold; nothing below two.

    Args:
        differences: of the folds that both arms have.
        confidence: share of such intervals that hold the true mean, if the differences are normal.
    """
    from scipy.stats import t

    described = spread(differences)
    if described is None or described.deviation is None:
        return None
    quantile = float(t.ppf((1 + confidence) / 2, described.count - 1))
    half = quantile * described.deviation / math.sqrt(described.count)
    return Interval(described.mean, described.mean - half, described.mean + half)
