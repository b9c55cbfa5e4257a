import math

import pytest
from scipy import stats

from mixcl_auto.metrics.averaging import (
    Interval,
    Spread,
    mean_defined,
    mean_over_organs_then_cases,
    mean_per_case,
    mean_per_organ,
    spread,
    t_interval,
)

ROWS = [("a", "liver", 0.9), ("a", "spleen", 0.5), ("b", "liver", 0.4), ("b", "spleen", None)]


def test_cases_weigh_the_same_however_many_organs_they_have():
    # a: (0.9 + 0.5) / 2 = 0.7; b: 0.4; not (0.9 + 0.5 + 0.4) / 3 = 0.6
    assert mean_over_organs_then_cases(ROWS) == pytest.approx(0.55)
    assert mean_per_case(ROWS) == {"a": pytest.approx(0.7), "b": pytest.approx(0.4)}


def test_organs_are_averaged_over_the_cases_that_count():
    assert mean_per_organ(ROWS) == {"liver": (pytest.approx(0.65), 2), "spleen": (0.5, 1)}


def test_a_case_without_any_organ_is_not_a_zero():
    assert mean_over_organs_then_cases([*ROWS, ("c", "liver", None)]) == pytest.approx(0.55)
    assert mean_over_organs_then_cases([("c", "liver", None)]) is None
    assert mean_defined([]) is None
    assert mean_defined([None, 0.0]) == 0.0


def test_spread_by_hand():
    assert spread([]) is None
    assert spread([0.25]) == Spread(1, 0.25, None)
    assert spread([1.0, 2.0, 6.0]) == Spread(3, 3.0, pytest.approx(math.sqrt((4 + 1 + 9) / 2)))


def test_t_interval_by_hand():
    # mean 2, s = 1, n = 3, t(0.975, 2) = 4.302653
    half = 4.302653 / math.sqrt(3)
    interval = t_interval([1.0, 2.0, 3.0])
    assert interval == Interval(2.0, pytest.approx(2 - half, abs=1e-6), pytest.approx(2 + half, abs=1e-6))


def test_t_interval_equals_scipys_one_sample_interval():
    values = [0.038, 0.045, -0.044, 0.012, 0.0]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    interval = t_interval(values, confidence=0.9)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_there_is_no_interval_from_one_run():
    assert t_interval([0.1]) is None
    assert t_interval([]) is None
