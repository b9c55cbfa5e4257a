"""Paired differences of held-out cases: a bootstrap interval, Wilcoxon's test, and Holm's correction.

All three take the trained networks as given. They say what other patients would change, not what another
training run would; that is `mixcl_auto.metrics.averaging.t_interval` over folds.
"""

import math
from collections.abc import Sequence

import numpy as np

from mixcl_auto.metrics.averaging import Interval

LEAST_PATIENTS = 6
"""Below it there is no bootstrap interval; nor can Wilcoxon's two-sided p be below 0.05."""


def bootstrap_interval(
    differences: Sequence[float],
    patients: Sequence[str],
    generator: np.random.Generator,
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
) -> Interval | None:
    """Percentile interval of the mean over cases, by resampling whole patients with replacement.

    Cases of one patient resemble one another, so a resampled patient brings all of its cases.

    Args:
        differences: one per case.
        patients: whose the cases are, in the same order.
        generator: draws the patients.
        confidence: share of the resampled means that lies inside.
        resamples: how many means to draw.

    Returns:
        The mean over cases and its interval; nothing below `LEAST_PATIENTS` patients.

    Raises:
        ValueError: if the lengths differ or a difference is not finite.
    """
    by_patient = _by_patient(differences, patients)
    if len(by_patient) < LEAST_PATIENTS:
        return None
    sums = np.array([math.fsum(values) for values in by_patient.values()])
    counts = np.array([len(values) for values in by_patient.values()])
    drawn = generator.integers(len(sums), size=(resamples, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(math.fsum(differences) / len(differences), float(low), float(high))


def wilcoxon_p(differences: Sequence[float], patients: Sequence[str]) -> float | None:
    """Two-sided p of Wilcoxon's signed-rank test on the patients' mean differences.

    Zeros leave the test, as Wilcoxon has it: two arms that both miss an organ are evidence for neither, and
    fewer than six patients with a difference never give p below 0.05. The null distribution is exact for up
    to 50 differences without ties and up to 13 with them, else normal.

    Args:
        differences: one per case.
        patients: whose the cases are, in the same order.

    Returns:
        p; 1 where all differences are zero, nothing where there are none.

    Raises:
        ValueError: if the lengths differ or a difference is not finite.
    """
    from scipy.stats import wilcoxon

    means = [math.fsum(values) / len(values) for values in _by_patient(differences, patients).values()]
    if not means:
        return None
    nonzero = [mean for mean in means if mean]
    return min(1.0, float(wilcoxon(nonzero).pvalue)) if nonzero else 1.0


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction of the tests of one comparison, in the order given.

    The i-th smallest of m is multiplied by m - i + 1, is never below the one before it, and at most 1.

    Args:
        p_values: of the tests; one that is undefined stays so and does not count among the m.
    """
    order = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        corrected[place] = largest
    return corrected


def _by_patient(differences: Sequence[float], patients: Sequence[str]) -> dict[str, list[float]]:
    if len(differences) != len(patients):
        raise ValueError(f"{len(differences)} differences of {len(patients)} patients; give one for each")
    if not all(map(math.isfinite, differences)):
        raise ValueError("differences must be finite; leave out cases without a figure")
    grouped: dict[str, list[float]] = {}
    for difference, patient in zip(differences, patients, strict=True):
        grouped.setdefault(patient, []).append(difference)
    return grouped
