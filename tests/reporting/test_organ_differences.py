import csv
import io
import math

import pytest

from mixcl_auto.io.scores import read_scores, write_scores
from mixcl_auto.reporting.grid import collect_grid
from mixcl_auto.reporting.organ_difference_table import organ_difference_table
from mixcl_auto.reporting.organ_differences import organ_differences


def compare(lab, init="mixcl", baseline="scratch", fraction=1.0, **options):
    grid = collect_grid(lab.workspace, lab.plan, "plan")
    return {d.organ: d for d in organ_differences(grid, "Target_1", init, fraction, baseline, **options)}


def cases(liver, spleen):
    """Dice of both organs for cases 'a', 'b', ..., which have to hold 'a' and 'b'."""
    names = "abcdefghijkl"[: len(liver)]
    return {name: {"liver": x, "spleen": y} for name, x, y in zip(names, liver, spleen, strict=True)}


@pytest.fixture
def lab(make_lab):
    return make_lab(fractions=(1.0,), folds=(0, 1))


def test_a_case_counts_once_with_the_mean_over_the_runs_that_hold_it_out_in_both_arms(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0,), seeds=(0, 1, 2))
    for seed, gains in ((0, (0.1, 0.3)), (1, (0.2, -0.1))):
        lab.finetune("scratch", 1.0, 0, cases([0.5, 0.4], [0.5, 0.4]), seed=seed)
        lab.finetune("mixcl", 1.0, 0, cases([0.5 + gains[0], 0.4 + gains[1]], [0.5, 0.4]), seed=seed)
    lab.finetune("mixcl", 1.0, 0, cases([1.0, 1.0], [1.0, 1.0]), seed=2)
    liver, spleen = compare(lab).values()
    # runs: (0.1 + 0.3) / 2 and (0.2 - 0.1) / 2; cases: (0.1 + 0.2) / 2 and (0.3 - 0.1) / 2
    assert (liver.pairs, liver.expected, liver.cases, liver.patients) == (2, 3, 2, 2)
    assert liver.mean == pytest.approx((0.2 + 0.05) / 2)
    assert liver.case_mean == pytest.approx((0.15 + 0.1) / 2)
    half = 12.7062 * 0.15 / 2
    assert (liver.interval.low, liver.interval.high) == pytest.approx((0.125 - half, 0.125 + half), abs=1e-5)
    assert liver.p_value == pytest.approx(0.5)
    assert (spleen.mean, spleen.p_value, spleen.p_holm) == (pytest.approx(0), 1.0, 1.0)


def test_cases_alone_can_call_significant_what_the_runs_do_not(lab):
    """The same redraw of the weights, up in one fold and down in the other, on cases that all follow it."""
    low, flat = [0.3, 0.31, 0.32, 0.33, 0.34, 0.35], 6 * [0.5]
    up = [value + 0.1 + 0.001 * place for place, value in enumerate(low)]
    lab.finetune("scratch", 1.0, 0, cases(low, flat))
    lab.finetune("mixcl", 1.0, 0, cases(up, flat))
    lab.finetune("scratch", 1.0, 1, cases(low, flat))
    lab.finetune("mixcl", 1.0, 1, cases([value - 0.01 for value in low], flat))
    liver = compare(lab)["liver"]
    assert liver.p_value == pytest.approx(2 / 2**6)
    assert liver.p_holm == pytest.approx(4 / 2**6)
    assert 0 < liver.case_interval.low < liver.case_mean < liver.case_interval.high
    assert liver.interval.low < 0 < liver.interval.high


def test_patients_are_what_is_resampled_and_tested(lab):
    liver = [0.1 * place for place in range(1, 9)]
    for init, gain in (("scratch", 0.0), ("mixcl", 0.05)):
        folder = lab.finetune(init, 1.0, 0, cases([x + gain * x for x in liver], 8 * [0.5]))
        joined = {"g": "a", "h": "a"}
        scores = [
            score.model_copy(update={"patient": joined.get(score.case, score.case)})
            for score in read_scores(folder.scores)
        ]
        write_scores(folder.scores, scores)
    found = compare(lab)["liver"]
    assert (found.cases, found.patients) == (8, 6)
    assert found.p_value == pytest.approx(2 / 2**6)
    assert found.case_interval is not None
    assert found.case_mean == pytest.approx(0.05 * math.fsum(liver) / 8)


def test_below_six_patients_there_is_a_p_but_no_interval_over_cases(lab):
    lab.finetune("scratch", 1.0, 0, cases([0.1, 0.2, 0.3, 0.4, 0.5], 5 * [0.5]))
    lab.finetune("mixcl", 1.0, 0, cases([0.2, 0.31, 0.42, 0.53, 0.64], 5 * [0.5]))
    liver = compare(lab)["liver"]
    assert (liver.case_interval, liver.interval) == (None, None)
    assert liver.p_value == pytest.approx(2 / 2**5)


def test_an_organ_invented_by_one_arm_has_no_pair_and_lowers_the_runs_mean(lab):
    lab.finetune("scratch", 1.0, 0, cases([0.6, None], [None, None]))
    lab.finetune("mixcl", 1.0, 0, cases([0.6, 0.0], [None, None]))
    liver, spleen = compare(lab).values()
    assert (liver.cases, liver.unpaired, liver.case_mean) == (1, 1, 0.0)
    # the run's mean counts the invented liver of 'b' as 0
    assert liver.mean == pytest.approx(0.3 - 0.6)
    assert (spleen.pairs, spleen.cases, spleen.mean, spleen.p_value, spleen.p_holm) == (
        0,
        0,
        None,
        None,
        None,
    )


def test_holm_runs_over_the_organs_of_one_comparison(lab):
    up = [0.51, 0.53, 0.55, 0.57, 0.59, 0.61, 0.63]
    mixed = [0.51, 0.48, 0.53, 0.46, 0.55, 0.44, 0.57]
    lab.finetune("scratch", 1.0, 0, cases(7 * [0.5], 7 * [0.5]))
    lab.finetune("mixcl", 1.0, 0, cases(up, mixed))
    liver, spleen = compare(lab).values()
    assert liver.p_value == pytest.approx(2 / 2**7)
    assert liver.p_holm == pytest.approx(4 / 2**7)
    assert spleen.p_holm == spleen.p_value > 0.5


def test_the_other_figures_are_compared_alike(lab):
    lab.finetune("scratch", 1.0, 0, 0.5)
    lab.finetune("mixcl", 1.0, 0, 0.7)
    # HD95 is 10 (1 - Dice) here
    assert compare(lab, figure="hd95_mm")["liver"].mean == pytest.approx(-2.0)


def test_arms_without_a_common_run_are_not_compared(lab):
    lab.finetune("scratch", 1.0, 0, 0.5)
    lab.finetune("mixcl", 1.0, 1, 0.7)
    assert compare(lab) == {}


def test_the_same_runs_give_the_same_bootstrap(lab):
    for fold in (0, 1):
        lab.finetune("scratch", 1.0, fold, cases([0.1 * k for k in range(8)], 8 * [0.5]))
        lab.finetune("mixcl", 1.0, fold, cases([0.1 * k + 0.01 * k**2 for k in range(8)], 8 * [0.5]))
    assert compare(lab) == compare(lab)


def test_the_table_marks_what_ignores_training_noise(make_lab):
    lab = make_lab(
        fractions=(1.0,), folds=(0, 1), inits=("scratch", "scratch-2", "supervised", "mixcl"), seeds=(0,)
    )
    for init, gain in (("scratch", 0.0), ("scratch-2", 0.01), ("supervised", 0.1), ("mixcl", 0.4)):
        for fold in (0, 1):
            scores = cases([0.2 + gain + 0.01 * k * gain for k in range(6)], 6 * [0.5])
            method = "supervised" if init == "supervised" else "mixcl"
            lab.finetune(init, 1.0, fold, scores, method=method)
    table = organ_difference_table(collect_grid(lab.workspace, lab.plan, "plan"))
    assert [row[2:4] for row in table.rows[::2]] == [
        ("mixcl - scratch", "liver"),
        ("supervised - scratch", "liver"),
        ("mixcl - supervised", "liver"),
        ("scratch-2 - scratch", "liver"),
    ]
    assert table.columns[4:] == (
        *("Over folds", "95 % interval", "Runs"),
        *("Cases alone: mean (95 % interval)", "p", "p (Holm)", "Cases (patients)"),
    )
    liver, spleen = table.rows[:2]
    # 0.4 + 0.01 x 0.4 x the mean of 0, ..., 5
    assert liver[4:7] == ("+0.410", "+0.410 to +0.410", "2/2")
    assert liver[8:] == ("0.031", "0.062", "6 (6)")
    assert spleen[4:] == (
        *("+0.000", "+0.000 to +0.000", "2/2"),
        *("+0.000 (+0.000 to +0.000)", "1.000", "1.000", "6 (6)"),
    )
    assert "Cases alone ignore training noise" in table.note
    first, _, surface, _, distance, *_ = csv.DictReader(io.StringIO(table.to_csv()))
    assert [row["figure"] for row in (first, surface, distance)] == ["dice", "surface_dice", "hd95_mm"]
    assert float(distance["over_folds_difference"]) == pytest.approx(-4.1)
    assert float(first["cases_alone_p_holm"]) == pytest.approx(4 / 2**6)
    assert float(first["over_folds_difference"]) == pytest.approx(0.41)
    assert (first["cases"], first["patients"], first["cases_unpaired"]) == ("6", "6", "0")


def test_an_organ_that_neither_arm_found_has_no_interval_and_no_p(lab):
    for fold in (0, 1):
        lab.finetune("scratch", 1.0, fold, cases([0.1 * k for k in range(1, 8)], 7 * [0.0]))
        lab.finetune("mixcl", 1.0, fold, cases([0.11 * k for k in range(1, 8)], 7 * [0.0]))
    liver, spleen = compare(lab).values()
    assert (spleen.mean, spleen.pairs, spleen.cases) == (0.0, 2, 7)
    assert (spleen.interval, spleen.case_interval, spleen.p_value, spleen.p_holm) == (None,) * 4
    # What could be tested counts in the correction, found or not.
    assert liver.p_holm == pytest.approx(2 * liver.p_value)
    assert compare(lab, figure="hd95_mm")["spleen"].interval is None
    table = organ_difference_table(collect_grid(lab.workspace, lab.plan, "plan"))
    assert table.rows[1][3:] == ("spleen", "+0.000", "-", "2/2", "-", "-", "-", "7 (7)")


def test_the_table_counts_unpaired_cases_and_shows_the_mean_over_few(lab):
    for fold in (0, 1):
        lab.finetune("scratch", 1.0, fold, cases([0.6, None], [0.5, 0.5]))
        lab.finetune("mixcl", 1.0, fold, cases([0.7, 0.0], [0.5, 0.5]))
    liver, spleen = organ_difference_table(collect_grid(lab.workspace, lab.plan, "plan")).rows
    assert (liver[7], liver[-1]) == ("+0.100", "1 (1), 1 unpaired")
    assert spleen[-1] == "2 (2)"
