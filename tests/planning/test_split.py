import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_records import Make

from mixcl_auto.errors import PlanError
from mixcl_auto.planning.split import make_split


def cases(make, count, labels=(1, 2)):
    return [make.case(f"case_{number:02d}", labels) for number in range(count)]


def test_every_case_is_held_out_once_and_trains_in_all_other_folds(make):
    split = make_split("D", cases(make, 41))
    held_out = [case for fold in split.folds for case in fold.held_out]
    assert sorted(held_out) == [f"case_{number:02d}" for number in range(41)]
    for fold in split.folds:
        assert sorted([*fold.training, *fold.held_out]) == sorted(held_out)
    assert sorted(len(fold.held_out) for fold in split.folds) == [8, 8, 8, 8, 9]


def test_spleen_and_btcv_give_the_papers_numbers_of_cases(make):
    """41 cases: 5, 15, 30, 50 % of 32 or 33; 30 cases: 15, 50 % of 24."""
    spleen = make_split("Spleen", cases(make, 41))
    for fold in range(5):
        counts = [len(spleen.training_cases(fold, fraction)) for fraction in (0.05, 0.15, 0.30, 0.50)]
        assert counts[:3] == [2, 5, 10]
        assert counts[3] in (16, 17)
    btcv = make_split("BTCV", cases(make, 30))
    assert [len(btcv.training_cases(0, fraction)) for fraction in (0.15, 0.50, 1.0)] == [4, 12, 24]


def test_fractions_are_nested(make):
    split = make_split("D", cases(make, 30))
    smaller, larger = (split.training_cases(2, fraction) for fraction in (0.15, 0.5))
    assert larger[: len(smaller)] == smaller


def test_the_same_seed_gives_the_same_folds_in_any_order_of_cases(make):
    some = cases(make, 23)
    assert make_split("D", some) == make_split("D", some[::-1])
    assert make_split("D", some).folds != make_split("D", some, seed=1).folds


def test_training_cases_come_in_a_random_order(make):
    training = make_split("D", cases(make, 30)).folds[0].training
    assert list(training) != sorted(training)


def test_a_patients_cases_stay_together(make):
    some = [make.case(f"{patient}{scan}", patient=patient) for patient in "abcdefg" for scan in range(3)]
    for fold in make_split("D", some).folds:
        assert {case[0] for case in fold.held_out}.isdisjoint(case[0] for case in fold.training)


@pytest.mark.parametrize("carriers", [5, 6, 9])
def test_a_rare_label_is_in_every_fold_where_enough_patients_have_it(make, carriers):
    some = [make.case(f"c{n:02d}", (1, 2) if n < carriers else (1,)) for n in range(30)]
    split = make_split("D", some)
    rare = {f"c{n:02d}" for n in range(carriers)}
    counts = [len(rare & set(fold.held_out)) for fold in split.folds]
    assert min(counts) >= 1
    assert max(counts) - min(counts) <= 1
    assert {len(fold.held_out) for fold in split.folds} == {6}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sets(st.integers(1, 4)), min_size=5, max_size=40), st.integers(0, 9))
def test_folds_are_balanced_for_any_labels(labels, seed):
    make_case = Make.case
    some = [make_case(f"c{n:02d}", tuple(present)) for n, present in enumerate(labels)]
    folds = make_split("D", some, seed=seed).folds
    assert sorted(case for fold in folds for case in fold.held_out) == sorted(case.id for case in some)
    rarest = min(
        (label for present in labels for label in present),
        key=lambda label: (sum(label in present for present in labels), label),
        default=None,
    )
    if rarest is not None:
        ids = {f"c{n:02d}" for n, present in enumerate(labels) if rarest in present}
        counts = [len(ids & set(fold.held_out)) for fold in folds]
        assert max(counts) - min(counts) <= 1


def test_fewer_patients_than_five_give_as_many_folds(make):
    assert [len(fold.held_out) for fold in make_split("D", cases(make, 2)).folds] == [1, 1]


def test_a_target_of_one_patient_is_refused(make):
    some = [make.case("a", patient="p"), make.case("b", patient="p")]
    with pytest.raises(PlanError, match=r"D: a target needs at least 2 patients .* it has 1"):
        make_split("D", some)


def test_more_folds_than_patients_are_refused(make):
    with pytest.raises(PlanError, match="4 folds can't be made of 3 patients"):
        make_split("D", cases(make, 3), folds=4)
