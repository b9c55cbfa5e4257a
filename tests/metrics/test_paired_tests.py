import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mixcl_auto.metrics.averaging import Interval
from mixcl_auto.metrics.paired_tests import LEAST_PATIENTS, bootstrap_interval, holm, wilcoxon_p

NINE = [0.021, -0.013, 0.044, 0.007, 0.030, -0.002, 0.015, 0.062, -0.027]


def names(count):
    return [f"p{place}" for place in range(count)]


def generator():
    return np.random.default_rng(1)


def literal_wilcoxon(differences):
    """Twice the smaller tail over all signs of the ranks of the differences; zeros are left out."""
    values = [value for value in differences if value]
    ranks = stats.rankdata(np.abs(values))
    observed = sum(rank for rank, value in zip(ranks, values, strict=True) if value > 0)
    sums = [
        sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)
        for signs in itertools.product((False, True), repeat=len(values))
    ]
    below = sum(one <= observed for one in sums) / len(sums)
    above = sum(one >= observed for one in sums) / len(sums)
    return min(1.0, 2 * min(below, above))


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=8).filter(any))
def test_p_is_that_of_all_signs_with_zeros_left_out_and_ties_shared(differences):
    assert wilcoxon_p(differences, names(len(differences))) == pytest.approx(literal_wilcoxon(differences))


def test_six_gains_alone_give_two_in_64_and_five_can_never_reach_005():
    assert wilcoxon_p([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], names(6)) == pytest.approx(2 / 64)
    assert wilcoxon_p([0.1, 0.2, 0.3, 0.4, 0.5], names(5)) == pytest.approx(2 / 32)


def test_cases_that_both_arms_miss_add_no_evidence():
    # with zeros ranked and a normal distribution, these four gains would have p = 0.046
    differences = [0.01, 0.05, 0.1, 0.2] + 14 * [0.0]
    assert wilcoxon_p(differences, names(18)) == pytest.approx(2 / 16)


def test_without_any_difference_p_is_one_and_without_cases_there_is_none():
    assert wilcoxon_p(10 * [0.0], names(10)) == 1.0
    assert wilcoxon_p([0.1, -0.1], ["a", "a"]) == 1.0
    assert wilcoxon_p([], []) is None


def test_many_cases_of_a_patient_are_one_piece_of_evidence():
    differences, patients = [0.1, 0.2, 0.3], names(3)
    assert (
        wilcoxon_p(5 * differences, 5 * patients) == wilcoxon_p(differences, patients) == pytest.approx(0.25)
    )


def test_holm_by_hand():
    # 0.005 x 4, 0.01 x 3, 0.03 x 2, and 0.04 x 1, which is below the one before it
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_an_undefined_p_does_not_count_among_the_tests():
    assert holm([0.02, None, 0.5]) == [pytest.approx(0.04), None, pytest.approx(0.5)]


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_lies_between_the_p_and_bonferroni_and_keeps_their_order(p_values):
    corrected = holm(p_values)
    for p, q in zip(p_values, corrected, strict=True):
        assert p <= q <= min(1.0, len(p_values) * p)
    for one, two in itertools.combinations(range(len(p_values)), 2):
        if p_values[one] <= p_values[two]:
            assert corrected[one] <= corrected[two]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.randoms())
def test_holm_does_not_depend_on_the_order_of_the_tests(p_values, random):
    order = list(range(len(p_values)))
    random.shuffle(order)
    shuffled = holm([p_values[place] for place in order])
    assert [shuffled[order.index(place)] for place in range(len(order))] == holm(p_values)


def test_interval_is_made_of_resampled_patients_with_all_their_cases():
    differences, patients = [*NINE, 0.3, 0.2], [*names(9), "p0", "p4"]
    interval = bootstrap_interval(differences, patients, generator(), resamples=200)
    draws, means = generator().integers(9, size=(200, 9)), []
    for draw in draws:
        cases = [d for k in draw for d, p in zip(differences, patients, strict=True) if p == f"p{k}"]
        means.append(sum(cases) / len(cases))
    low, high = np.percentile(means, [2.5, 97.5])
    expected = Interval(sum(differences) / 11, pytest.approx(low), pytest.approx(high))
    assert interval == expected


def test_interval_agrees_with_scipys_bootstrap():
    ours = bootstrap_interval(NINE, names(9), generator())
    theirs = stats.bootstrap(
        (NINE,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1.5e-3)
    assert ours.mean == pytest.approx(math.fsum(NINE) / 9)


def test_more_scans_of_the_same_patients_do_not_narrow_the_interval():
    once = bootstrap_interval(NINE, names(9), generator())
    four = bootstrap_interval(4 * NINE, 4 * names(9), generator())
    assert (four.low, four.high) == pytest.approx((once.low, once.high))
    apart = bootstrap_interval(4 * NINE, names(36), generator())
    assert apart.high - apart.low < 0.6 * (once.high - once.low)


def test_a_wider_confidence_gives_a_wider_interval_and_the_seed_decides():
    wide = bootstrap_interval(NINE, names(9), generator(), confidence=0.99)
    narrow = bootstrap_interval(NINE, names(9), generator(), confidence=0.8)
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high
    assert bootstrap_interval(NINE, names(9), generator(), confidence=0.8) == narrow


def test_there_is_no_interval_of_few_patients_however_many_cases():
    few = LEAST_PATIENTS - 1
    assert bootstrap_interval(10 * [0.1] * few, 10 * names(few), generator()) is None
    assert bootstrap_interval([0.5] * LEAST_PATIENTS, names(LEAST_PATIENTS), generator()) == Interval(
        0.5, 0.5, 0.5
    )


@pytest.mark.parametrize("compute", [wilcoxon_p, lambda *given: bootstrap_interval(*given, generator())])
def test_unusable_differences_are_refused(compute):
    with pytest.raises(ValueError, match="2 differences of 1 patients"):
        compute([0.1, 0.2], ["a"])
    with pytest.raises(ValueError, match="must be finite"):
        compute([0.1, math.nan], ["a", "b"])
