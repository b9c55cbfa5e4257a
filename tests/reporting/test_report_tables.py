import csv
import io
import math

import pytest

from mixcl_auto.records.plan_edits import edit_plan
from mixcl_auto.reporting.arms import arm_figure, difference
from mixcl_auto.reporting.detail_tables import arm_table, difference_table, organ_table
from mixcl_auto.reporting.grid import collect_grid
from mixcl_auto.reporting.roles import role_of
from mixcl_auto.reporting.tables import table_1, table_2


def collect(lab):
    return collect_grid(lab.workspace, lab.plan, "plan")


def read_csv(table):
    return list(csv.DictReader(io.StringIO(table.to_csv())))


def test_table_1_by_hand(unfinished_lab):
    table = table_1(collect(unfinished_lab))
    assert table.columns == ("Target", "Pct.", "T.F.S.", "Ours", "Diff.")
    # scratch (0.5 + 0.4 + 0.9) / 3; ours (0.56 + 0.48) / 2; Diff. on folds 0 and 1 alone: (0.06 + 0.08) / 2
    assert table.rows == (
        ("Target_1", "5%", "0.6000 (3/3)", "0.5200 (2/3)", "+0.0700 (2)"),
        ("Target_1", "100%", "0.8000 (1/3)", "missing", "missing"),
    )


def test_unequal_folds_never_enter_a_difference(unfinished_lab):
    grid = collect(unfinished_lab)
    ours, scratch = (arm_figure(grid, "Target_1", init, 0.05).found.mean for init in ("mixcl", "scratch"))
    compared = difference(grid, "Target_1", "mixcl", 0.05)
    assert ours - scratch < 0 < compared.mean
    assert (compared.pairs, compared.expected) == (2, 3)
    # s = 0.02 / sqrt(2), t(0.975, 1) = 12.7062
    half = 12.7062 * (0.02 / math.sqrt(2)) / math.sqrt(2)
    assert compared.interval.low == pytest.approx(0.07 - half, abs=1e-6)
    assert compared.interval.high == pytest.approx(0.07 + half, abs=1e-6)


def test_differences_are_computed_before_rounding(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0,))
    lab.finetune("scratch", 1.0, 0, 0.94244)
    lab.finetune("mixcl", 1.0, 0, 0.94526)
    # rounded first it would be 0.9453 - 0.9424 = +0.0029
    assert table_1(collect(lab)).rows[0][2:] == ("0.9424 (1/1)", "0.9453 (1/1)", "+0.0028 (1)")


def test_csv_holds_unrounded_values_and_empty_cells(unfinished_lab):
    first, second = read_csv(table_1(collect(unfinished_lab)))
    assert float(first["mixcl_difference"]) == pytest.approx(0.07, abs=1e-15)
    assert float(first["scratch_standard_deviation"]) == pytest.approx(math.sqrt(0.07))
    assert (first["mixcl_runs"], first["mixcl_runs_expected"]) == ("2", "3")
    assert second["mixcl_dice"] == second["mixcl_difference"] == ""


def test_seeds_are_runs_of_their_own(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0, 1), seeds=(0, 1))
    for seed, dice in ((0, 0.5), (1, 0.7)):
        lab.finetune("scratch", 1.0, 0, dice, seed=seed)
        lab.finetune("mixcl", 1.0, 0, dice + 0.1, seed=seed)
    lab.finetune("mixcl", 1.0, 1, 0.1, seed=0)
    row = table_1(collect(lab)).rows[0]
    assert row[2:] == ("0.6000 (2/4)", "0.5000 (3/4)", "+0.1000 (2)")


def test_every_pretraining_and_control_has_its_columns(make_lab):
    lab = make_lab(inits=("scratch", "mixcl", "scratch-2", "balanced"), fractions=(1.0,), folds=(0,))
    for init, dice in (("scratch", 0.5), ("mixcl", 0.6), ("scratch-2", 0.45)):
        lab.finetune(init, 1.0, 0, dice)
    table = table_1(collect(lab))
    assert table.columns == (
        *("Target", "Pct.", "T.F.S.", "scratch-2", "Diff."),
        *("Ours: mixcl", "Diff.", "Ours: balanced", "Diff."),
    )
    assert table.rows[0][3:] == (
        "0.4500 (1/1)",
        "-0.0500 (1)",
        "0.6000 (1/1)",
        "+0.1000 (1)",
        "missing",
        "missing",
    )
    assert "Other random weights alone (scratch-2) show" in table.note
    assert "Ours is" not in table.note


def test_the_note_says_that_transferred_weights_learn_slowly(make_lab):
    lab = make_lab(inits=("scratch", "mixcl"), fractions=(1.0,), folds=(0,))
    assert "times the rate" not in table_1(collect(lab)).note
    lab.plan = edit_plan(lab.plan, ["finetune.transferred_rate=0.1"])
    assert (
        "What was pre-trained learns at 0.1 times the rate of random weights: that"
        in table_1(collect(lab)).note
    )
    lab.finetune("scratch-slow", 1.0, 0, 0.5)
    assert "random weights (scratch-slow at that rate too): that belongs" in table_1(collect(lab)).note


def test_the_note_says_that_level_0_starts_random(make_lab):
    lab = make_lab(inits=("scratch", "mixcl"), fractions=(1.0,), folds=(0,))
    assert "finest level" not in table_1(collect(lab)).note
    lab.plan = edit_plan(lab.plan, ["pretrain.hand_on_level_0=false"])
    assert "The finest level is not handed on by MixCL and starts random." in table_1(collect(lab)).note


def test_the_note_tells_the_pretrainings_apart_that_hand_level_0_on(make_lab):
    lab = make_lab(inits=("scratch", "mixcl", "other"), fractions=(1.0,), folds=(0,))
    lab.pretrain("mixcl", hand_on_level_0=True)
    lab.pretrain("other", hand_on_level_0=False)
    assert "The finest level is not handed on by other and starts" in table_1(collect(lab)).note


@pytest.fixture
def supervised_lab(make_lab):
    """MixCL on folds 0 and 1, the supervised baseline on folds 1 and 2, both controls on all."""
    lab = make_lab(inits=("scratch", "mixcl", "supervised", "scratch-2"), fractions=(1.0,))
    for fold in (0, 1, 2):
        lab.finetune("scratch", 1.0, fold, 0.5, log=True)
        lab.finetune("scratch-2", 1.0, fold, 0.52, log=True)
    for fold, dice in ((0, 0.6), (1, 0.70004)):
        lab.finetune("mixcl", 1.0, fold, dice, log=True)
    for fold, dice in ((1, 0.64999), (2, 0.9)):
        lab.finetune("supervised", 1.0, fold, dice, method="supervised", log=True)
    return lab


def test_the_baseline_has_columns_and_mixcl_is_compared_with_it_run_by_run(supervised_lab):
    table = table_1(collect(supervised_lab))
    assert table.columns == (
        *("Target", "Pct.", "T.F.S.", "scratch-2", "Diff.", "Supervised", "Diff.", "Ours", "Diff."),
        "Ours - Supervised",
    )
    # Only fold 1 has both: 0.70004 - 0.64999 = 0.05005; rounded first it would be 0.7000 - 0.6500.
    assert table.rows[0][2:] == (
        *("0.5000 (3/3)", "0.5200 (3/3)", "+0.0200 (3)"),
        *("0.7750 (2/3)", "+0.2750 (2)", "0.6500 (2/3)", "+0.1500 (2)"),
        "+0.0501 (1)",
    )
    (row,) = read_csv(table)
    assert float(row["mixcl_minus_supervised_difference"]) == pytest.approx(0.05005, abs=1e-12)
    assert row["mixcl_minus_supervised_difference_pairs"] == "1"
    assert float(row["supervised_dice"]) == pytest.approx(0.774995)
    assert "Ours is mixcl." in table.note
    assert "Supervised: the same encoder" in table.note
    assert "Ours - Supervised" in table.to_markdown()
    assert "Target & Pct. & Ours & Diff. & Ours $-$ Supervised \\\\" in table.to_latex()


def test_differences_to_the_baseline_have_intervals_of_their_own(supervised_lab):
    supervised_lab.finetune("mixcl", 1.0, 2, 0.95)
    rows = [row for row in difference_table(collect(supervised_lab)).rows if row[4] == "Dice"]
    assert [row[2:4] for row in rows] == [
        ("mixcl", "scratch"),
        ("supervised", "scratch"),
        ("mixcl", "supervised"),
        ("scratch-2", "scratch"),
    ]
    assert rows[2][5:] == ("+0.0500", "+0.0497 to +0.0503", "2/3")


def test_table_2_holds_neither_the_baseline_nor_controls(supervised_lab):
    table = table_2(collect(supervised_lab))
    assert [row[5] for row in table.rows] == ["scratch", "", "mixcl"]


def test_an_arm_is_called_after_its_method_whatever_its_name(make_lab):
    lab = make_lab(inits=("scratch", "labels_only"), fractions=(1.0,), folds=(0,))
    lab.pretrain("labels_only", method="supervised")
    lab.finetune("elsewhere", 1.0, 0, 0.5, method="unknown")
    lab.finetune("mixcl", 1.0, 0, 0.5)
    assert table_1(collect(lab)).columns[3:] == (
        *("elsewhere", "Diff.", "Supervised", "Diff.", "Ours", "Diff.", "Ours - Supervised"),
    )


def test_several_arms_of_a_method_go_by_their_names(make_lab):
    lab = make_lab(inits=("scratch", "mixcl", "longer", "supervised"), fractions=(1.0,), folds=(0,))
    assert table_1(collect(lab)).columns[3:] == (
        *("Supervised", "Diff.", "Ours: mixcl", "Diff.", "Ours: longer", "Diff."),
        *("Ours: mixcl - Supervised", "Ours: longer - Supervised"),
    )


def test_results_kept_without_their_pretraining_still_say_how_it_was_made(make_lab):
    lab = make_lab(inits=("scratch", "base"), fractions=(1.0,), folds=(0,))
    assert role_of(collect(lab), "base") == "mixcl"
    lab.finetune("base", 1.0, 0, 0.5, method="supervised")
    assert role_of(collect(lab), "base") == "supervised"


def test_table_2_ticks_the_terms_at_the_fractions_of_the_ablation(make_lab):
    lab = make_lab(folds=(0, 1))
    lab.finetune("scratch", 1.0, 0, 0.5)
    lab.finetune("mixcl", 1.0, 0, 0.7)
    lab.finetune("no_recon", 1.0, 0, 0.6, without=("reconstruction",))
    lab.finetune("label_only", 1.0, 1, 0.4, without=("identity", "reconstruction"))
    table = table_2(collect(lab))
    assert table.columns == ("Target", "Pct.", "Identity", "Label", "Recon", "Init", "Dice")
    assert table.rows == (
        ("Target_1", "100%", "", "", "", "scratch", "0.5000 (1/2)"),
        ("Target_1", "100%", "", "✓", "", "label_only", "0.4000 (1/2)"),
        ("Target_1", "100%", "✓", "✓", "", "no_recon", "0.6000 (1/2)"),
        ("Target_1", "100%", "✓", "✓", "✓", "mixcl", "0.7000 (1/2)"),
    )
    assert "No ablation" not in table.note


def test_the_share_of_an_ablation_is_a_row_of_table_2_alone(make_lab):
    lab = make_lab(folds=(0,), fractions=(0.05, 1.0), ablation_fractions=(0.3,))
    for init in ("scratch", "mixcl"):
        lab.finetune(init, 0.3, 0, 0.5)
    assert [row[1] for row in table_1(collect(lab)).rows] == ["5%", "30%", "100%"]
    lab.finetune("no_recon", 0.3, 0, 0.6, without=("reconstruction",))
    assert [row[1] for row in table_1(collect(lab)).rows] == ["5%", "100%"]
    assert {row[1] for row in table_2(collect(lab)).rows} == {"30%"}


def test_table_2_without_ablations_says_so_and_has_the_papers_rows_where_the_plan_wants_them(make_lab):
    lab = make_lab(ablation_fractions=(0.05,))
    lab.finetune("scratch", 0.05, 0, 0.6)
    table = table_2(collect(lab))
    assert table.rows == (
        ("Target_1", "5%", "", "", "", "scratch", "0.6000 (1/3)"),
        ("Target_1", "5%", "✓", "✓", "", "", "missing"),
        ("Target_1", "5%", "✓", "✓", "✓", "mixcl", "missing"),
    )
    assert table.note.startswith("No ablation was run")


def test_an_ablation_that_started_shows_its_fraction_as_missing(make_lab):
    lab = make_lab()
    lab.pretrain("no_recon", without=("reconstruction",))
    lab.finetune("no_recon", 0.05, 0, 0.0, without=("reconstruction",), status="running", scored=False)
    table = table_2(collect(lab))
    assert [row[1:] for row in table.rows] == [
        ("5%", "", "", "", "scratch", "missing"),
        ("5%", "✓", "✓", "", "no_recon", "missing"),
        ("5%", "✓", "✓", "✓", "mixcl", "missing"),
    ]


def test_difference_table_has_intervals_from_two_pairs_on(unfinished_lab):
    rows = {row[4]: row for row in difference_table(collect(unfinished_lab)).rows if row[1] == "5%"}
    assert rows["Dice"][5:] == ("+0.0700", "-0.0571 to +0.1971", "2/3")
    assert rows["HD95 (mm)"][5:] == ("-0.70", "-1.97 to +0.57", "2/3")


def test_one_pair_has_a_difference_without_an_interval_and_none_has_no_row(make_lab):
    lab = make_lab()
    lab.finetune("scratch", 1.0, 0, 0.5)
    lab.finetune("mixcl", 1.0, 0, 0.75)
    lab.finetune("scratch", 0.05, 0, 0.5)
    lab.finetune("mixcl", 0.05, 1, 0.75)
    rows = difference_table(collect(lab)).rows
    assert [row[1] for row in rows] == ["100%"] * 3
    assert rows[0][2:] == ("mixcl", "scratch", "Dice", "+0.2500", "-", "1/3")


def test_organ_table_by_hand(make_lab):
    lab = make_lab(fractions=(1.0,), inits=("scratch",))
    lab.finetune("scratch", 1.0, 0, {"a": {"liver": 0.9, "spleen": 0.0}, "b": {"liver": 0.7, "spleen": None}})
    lab.finetune("scratch", 1.0, 1, {"a": {"liver": 0.6, "spleen": 0.5}, "b": {"liver": 0.6, "spleen": 0.3}})
    liver, spleen = organ_table(collect(lab)).rows
    # liver: runs 0.8 and 0.6, s = 0.2 / sqrt(2); spleen: 0 and 0.4, s = 0.4 / sqrt(2)
    figures = ("0.700 ± 0.141", "0.700 ± 0.141", "3.0 ± 1.4")
    assert liver == ("Target_1", "100%", "liver", "scratch", *figures, "4", "0", "0", "2")
    figures = ("0.200 ± 0.283", "0.200 ± 0.283", "8.0 ± 2.8")
    assert spleen == ("Target_1", "100%", "spleen", "scratch", *figures, "3", "1", "0", "2")
    first, _ = read_csv(organ_table(collect(lab)))
    assert float(first["dice_standard_deviation"]) == pytest.approx(0.2 / math.sqrt(2))
    assert float(first["hd95_mm"]) == pytest.approx(3.0)


def test_arm_table_by_hand(unfinished_lab):
    unfinished_lab.finetune("mixcl", 0.05, 2, {"a": {"liver": 0.9, "spleen": None}, "b": {"liver": 0.1}})
    table = arm_table(collect(unfinished_lab))
    assert table.columns == (
        *("Target", "Pct.", "Init", "Dice", "Dice, plan's grid", "Surface Dice", "HD95 (mm)", "Runs"),
    )
    # scratch 0.5, 0.4, 0.9: s = sqrt(0.07); mixcl 0.56, 0.48, 0.5: s = sqrt(0.0017333)
    scratch, mixcl = ("0.6000 ± 0.2646", "0.5133 ± 0.0416")
    assert table.rows == (
        ("Target_1", "5%", "scratch", scratch, scratch, scratch, "4.0 ± 2.6", "3/3"),
        ("Target_1", "5%", "mixcl", mixcl, mixcl, mixcl, "4.9 ± 0.4", "3/3"),
        ("Target_1", "100%", "scratch", "0.8000", "0.8000", "0.8000", "2.0", "1/3"),
    )
    first, _, last = read_csv(table)
    assert float(first["dice_standard_deviation"]) == pytest.approx(math.sqrt(0.07))
    assert (last["surface_dice_standard_deviation"], last["runs"], last["runs_expected"]) == ("", "1", "3")


def test_a_plan_without_any_run_gives_tables_of_missing_cells(make_lab):
    grid = collect(make_lab())
    assert {cell for row in table_1(grid).rows for cell in row[2:]} == {"missing"}
    assert {row[-1] for row in table_2(grid).rows} == {"missing"}
    assert organ_table(grid).rows == arm_table(grid).rows == ()


def test_the_interval_of_differences_is_over_folds_where_these_have_seeds(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0, 1), seeds=(0, 1))
    for fold, gains in enumerate(((0.10, 0.12), (0.04, 0.06))):
        for seed, gain in enumerate(gains):
            lab.finetune("scratch", 1.0, fold, 0.3, seed=seed)
            lab.finetune("mixcl", 1.0, fold, 0.3 + gain, seed=seed)
    row = read_csv(difference_table(collect(lab)))[0]
    # fold means 0.11 and 0.05: s = 0.06 / sqrt(2), t(0.975, 1) = 12.7062
    half = 12.7062 * 0.03
    assert float(row["difference_low"]) == pytest.approx(0.08 - half, abs=1e-5)
    assert float(row["difference_high"]) == pytest.approx(0.08 + half, abs=1e-5)


def test_arms_that_found_nothing_have_a_difference_without_an_interval(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0, 1))
    for init in ("scratch", "mixcl"):
        for fold in (0, 1):
            lab.finetune(init, 1.0, fold, 0.0)
    assert [row[5:] for row in difference_table(collect(lab)).rows] == [
        ("+0.0000", "-", "2/2"),
        ("+0.0000", "-", "2/2"),
        ("+0.00", "-", "2/2"),
    ]
