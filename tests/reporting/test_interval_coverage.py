"""The figures of ``docs/statistics.md``: how often an interval calls no difference one."""

import numpy as np
import pytest
from scipy.stats import t

from mixcl_auto.reporting.arms import fold_interval

EXPERIMENTS, FOLDS = 200_000, 5


def draw(share_between_folds, seeds, experiments=EXPERIMENTS):
    """Differences of runs, (experiments, folds, seeds), without any true difference."""
    generator = np.random.default_rng(0)
    folds = np.sqrt(share_between_folds) * generator.standard_normal((experiments, FOLDS, 1))
    return folds + np.sqrt(1 - share_between_folds) * generator.standard_normal((experiments, FOLDS, seeds))


def leaves_out_0(values):
    """Whether the 95 % Student-t interval of each row (experiments, units) leaves out 0."""
    units = values.shape[1]
    half = t.ppf(0.975, units - 1) * values.std(axis=1, ddof=1) / np.sqrt(units)
    return np.abs(values.mean(axis=1)) > half


@pytest.mark.parametrize(
    ("seeds", "between", "stated"),
    [
        *((2, 0.0, 0.05), (2, 0.3, 0.086), (2, 0.5, 0.115), (2, 0.8, 0.164)),
        *((3, 0.0, 0.05), (3, 0.3, 0.123), (3, 0.5, 0.176), (3, 0.8, 0.257)),
    ],
)
def test_seeds_of_a_fold_are_no_independent_runs_and_the_folds_means_are(seeds, between, stated):
    runs = draw(between, seeds)
    assert leaves_out_0(runs.reshape(EXPERIMENTS, -1)).mean() == pytest.approx(stated, abs=0.002)
    assert leaves_out_0(runs.mean(axis=2)).mean() == pytest.approx(0.05, abs=0.002)


def test_the_reports_intervals_are_those_that_were_simulated():
    runs = draw(0.5, seeds=3, experiments=300)
    for experiment, expected in zip(runs, leaves_out_0(runs.mean(axis=2)), strict=True):
        units = {(fold, seed): experiment[fold, seed] for fold in range(FOLDS) for seed in range(3)}
        interval = fold_interval(units)
        assert (interval.low > 0 or interval.high < 0) == expected
