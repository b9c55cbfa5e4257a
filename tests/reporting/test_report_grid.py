import pytest

from mixcl_auto.io.files import write_text
from mixcl_auto.io.plans import write_split
from mixcl_auto.records.failure import Failure
from mixcl_auto.records.plan_edits import edit_plan
from mixcl_auto.records.split import DatasetSplit, Fold
from mixcl_auto.reporting.grid import RunKey, collect_grid
from mixcl_auto.reporting.overview import missing_rows, pretraining_table, shortfall


def collect(lab):
    return collect_grid(lab.workspace, lab.plan, "plan")


def test_records_and_scores_alone_are_finished_runs(unfinished_lab):
    grid = collect(unfinished_lab)
    assert len(grid.finished) == 6
    assert [(run.key, run.state) for run in grid.unfinished] == [
        (RunKey("Target_1", "mixcl", 0.05, 2, 0), "trained, not scored")
    ]
    assert grid.problems == ()


def test_missing_runs_are_those_that_the_experiment_expects_and_nobody_finished(unfinished_lab):
    grid = collect(unfinished_lab)
    assert len(grid.expected) == 12
    assert set(grid.missing) == {
        RunKey("Target_1", "mixcl", 0.05, 2, 0),
        *(RunKey("Target_1", "scratch", 1.0, fold, 0) for fold in (1, 2)),
        *(RunKey("Target_1", "mixcl", 1.0, fold, 0) for fold in (0, 1, 2)),
    }
    assert missing_rows(grid) == [
        ("Target_1", "mixcl", "5%", "2", "trained, not scored"),
        ("Target_1", "scratch", "100%", "1, 2", "not started"),
        ("Target_1", "mixcl", "100%", "0, 1, 2", "not started"),
    ]


def test_folds_name_their_seeds_where_there_are_several(make_lab):
    lab = make_lab(inits=("scratch",), fractions=(1.0,), folds=(0, 1), seeds=(0, 3))
    lab.finetune("scratch", 1.0, 0, 0.5, seed=0)
    assert missing_rows(collect(lab)) == [("Target_1", "scratch", "100%", "0 (3), 1 (0, 3)", "not started")]


def test_a_target_with_fewer_folds_is_not_missing_those_that_it_can_not_have(make_lab):
    lab = make_lab(inits=("scratch",), fractions=(1.0,), folds=(0, 1, 2, 3, 4))
    assert len(collect(lab).expected) == 5
    folds = (Fold(training=("a",), held_out=("b",)), Fold(training=("b",), held_out=("a",)))
    split = write_split(lab.workspace, DatasetSplit(dataset="Target_1", seed=0, folds=folds))
    target = lab.plan.dataset("Target_1").model_copy(update={"split": split})
    lab.plan = lab.plan.model_copy(update={"datasets": (target,)})
    grid = collect(lab)
    assert [key.fold for key in grid.expected] == [0, 1]
    assert grid.expected_units("Target_1", "scratch", 1.0) == 2


def test_a_run_without_scores_of_all_its_held_out_cases_does_not_count(make_lab):
    lab = make_lab()
    lab.finetune("scratch", 1.0, 0, {"a": {"liver": 0.9, "spleen": 0.9}})
    grid = collect(lab)
    assert grid.finished == ()
    assert grid.unfinished[0].state == "no scores of b"


def test_a_malformed_record_is_named_and_the_others_count(unfinished_lab):
    folder = unfinished_lab.finetune("scratch", 1.0, 1, 0.8)
    folder.run.write_text("{}")
    grid = collect(unfinished_lab)
    assert len(grid.finished) == 6
    assert len(grid.problems) == 1
    assert str(folder.run) in grid.problems[0]


def test_runs_beyond_the_experiment_are_found(make_lab):
    lab = make_lab()
    lab.finetune("other", 0.3, 4, 0.7, dataset="Elsewhere")
    grid = collect(lab)
    assert grid.targets == ("Target_1", "Elsewhere")
    assert grid.fractions("Elsewhere") == (0.05, 0.3, 1.0)
    assert grid.fractions("Target_1") == (0.05, 1.0)
    assert grid.inits == ("scratch", "mixcl", "other")


def test_ablations_are_no_arms_of_table_1(make_lab):
    lab = make_lab()
    lab.finetune("no_recon", 1.0, 0, 0.7, without=("reconstruction",))
    lab.pretrain("only_label", without=("identity", "reconstruction"))
    grid = collect(lab)
    assert grid.inits == ("scratch", "mixcl")
    assert grid.without == {"no_recon": ("reconstruction",), "only_label": ("identity", "reconstruction")}


def test_the_headline_is_the_mean_over_organs_then_cases(make_lab):
    lab = make_lab()
    lab.finetune("scratch", 1.0, 0, {"a": {"liver": 0.9, "spleen": 0.5}, "b": {"liver": 0.4, "spleen": None}})
    run = collect(lab).finished[0]
    assert run.headline() == pytest.approx(0.55)
    assert run.headline("hd95_mm") == pytest.approx((3.0 + 6.0) / 2)


def test_table_2_is_expected_once_one_of_its_ablations_has_started(make_lab):
    lab = make_lab(folds=(0,), ablations={"no_recon": ("reconstruction",)}, ablation_fractions=(0.3,))
    assert {key.fraction for key in collect(lab).expected} == {0.05, 1.0}
    lab.pretrain("no_recon", without=("reconstruction",))
    assert [key for key in collect(lab).expected if key.fraction == 0.3] == [
        RunKey("Target_1", init, 0.3, 0, 0) for init in ("scratch", "no_recon", "mixcl")
    ]


def test_a_target_may_have_shares_of_labels_of_its_own(make_lab):
    grid = collect(make_lab(folds=(0,), inits=("scratch",), target_fractions={"Target_1": (0.5,)}))
    assert grid.expected == (RunKey("Target_1", "scratch", 0.5, 0, 0),)
    assert grid.fractions("Target_1") == (0.5,)


def note_failure(folder, message):
    failure = Failure(attempts=2, host="here", at="2026-01-01T00:00:00+00:00", message=message)
    write_text(folder.failure, failure.to_json())


def test_a_run_that_was_given_up_is_shown_as_failed_with_the_first_line_of_its_error(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0, 1), inits=("scratch",))
    folder = lab.finetune("scratch", 1.0, 0, 0.5, status="running", scored=False)
    note_failure(folder, "code 1; the end of its log:\nno memory")
    note_failure(lab.workspace.finetune("plan", "Target_1", "scratch", 1.0, 1, 0), "no such cache")
    assert missing_rows(collect(lab)) == [
        ("Target_1", "scratch", "100%", "0", "failed: code 1; see its log"),
        ("Target_1", "scratch", "100%", "1", "failed: no such cache"),
    ]


def test_scores_outlive_the_note_of_a_failure(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0,), inits=("scratch",))
    note_failure(lab.finetune("scratch", 1.0, 0, 0.5), "out of memory")
    assert missing_rows(collect(lab)) == []


def test_a_run_whose_record_is_malformed_is_unreadable_rather_than_not_started(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0, 1), inits=("scratch",))
    lab.finetune("scratch", 1.0, 0, 0.5).run.write_text("{}")
    grid = collect(lab)
    assert missing_rows(grid) == [
        ("Target_1", "scratch", "100%", "0", "unreadable"),
        ("Target_1", "scratch", "100%", "1", "not started"),
    ]
    said = "2 of 2 expected runs are missing, 1 file not counted: see the page"
    assert shortfall(grid) == said


def test_a_complete_grid_lacks_nothing(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0,), inits=("scratch",))
    lab.finetune("scratch", 1.0, 0, 0.5)
    assert shortfall(collect(lab)) == ""
    lab.finetune("other", 1.0, 0, 0.5).scores.write_text("?")
    lab.finetune("another", 1.0, 0, 0.5).scores.write_text("?")
    assert shortfall(collect(lab)) == "2 files not counted: see the page"


def test_runs_are_grouped_once_and_whoever_changes_an_arm_changes_no_other(unfinished_lab):
    grid = collect(unfinished_lab)
    assert list(grid.arm("Target_1", "scratch", 0.05)) == [(0, 0), (1, 0), (2, 0)]
    grid.arm("Target_1", "scratch", 0.05).clear()
    assert len(grid.arm("Target_1", "scratch", 0.05)) == 3
    assert grid.arm("Target_1", "nobody", 0.05) == {}


def test_a_run_of_another_plan_stands_beside_no_other(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0, 1), inits=("scratch",))
    lab.finetune("scratch", 1.0, 0, 0.5, edits=["finetune.iterations=99", "finetune.learning_rate=0.5"])
    lab.finetune("scratch", 1.0, 1, 0.5, edits=["finetune.workers=9"])
    grid = collect(lab)
    assert [run.key.fold for run in grid.finished] == [1]
    (left_out,) = grid.unfinished
    assert left_out.state.startswith("made under another plan (its value and this plan's: finetune.")
    assert "finetune.learning_rate: 0.5 and " in left_out.state
    assert grid.missing == (left_out.key,)


def test_runs_on_cases_that_the_plan_has_no_longer_do_not_count(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0,), inits=("scratch",))
    lab.finetune("scratch", 1.0, 0, 0.5)
    target = lab.plan.dataset("Target_1").model_copy(update={"cases": ("a", "b", "new")})
    lab.plan = lab.plan.model_copy(update={"datasets": (lab.plan.datasets[0], target)})
    assert collect(lab).finished == ()
    assert "datasets.Target_1.cases: not the same" in collect(lab).unfinished[0].state


def test_a_run_from_an_encoder_that_was_replaced_does_not_count(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0, 1), inits=("mixcl",))
    lab.pretrain("mixcl", encoder="new")
    lab.finetune("mixcl", 1.0, 0, 0.5, weights="old")
    lab.finetune("mixcl", 1.0, 1, 0.5, weights="new")
    grid = collect(lab)
    assert [run.key.fold for run in grid.finished] == [1]
    assert grid.unfinished[0].state == "from another encoder than there is now"


def test_runs_from_different_weights_of_one_name_do_not_count(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0, 1), inits=("scratch",))
    for fold, weights in enumerate(("first", "second")):
        lab.finetune("scratch", 1.0, fold, 0.4)
        lab.finetune("file", 1.0, fold, 0.5, weights=weights)
    grid = collect(lab)
    assert {run.key.init for run in grid.finished} == {"scratch"}
    assert {run.state for run in grid.unfinished} == {
        "one of runs that started from 2 different weights of one name"
    }


def test_a_renamed_or_copied_run_stands_for_no_other(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0,), inits=("scratch",))
    old = lab.finetune("scratch", 1.0, 0, 0.2).path
    copied = old.rename(old.with_name("seed_0_old"))
    pretrained = lab.pretrain("mixcl").path
    pretrained.rename(pretrained.with_name("mixcl_old"))
    lab.finetune("scratch", 1.0, 0, 0.8)
    grid = collect(lab)
    assert [run.headline() for run in grid.finished] == [pytest.approx(0.8)]
    assert grid.pretrainings == ()
    assert sorted(problem.split(" is not counted")[0] for problem in grid.problems) == sorted(
        [str(copied), str(pretrained.with_name("mixcl_old"))]
    )
    assert f"whose place is {old}" in " ".join(grid.problems)


def test_scores_beside_a_record_of_a_run_in_training_are_of_an_earlier_one(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0,), inits=("scratch",))
    lab.finetune("scratch", 1.0, 0, 0.5, status="running")
    assert missing_rows(collect(lab)) == [("Target_1", "scratch", "100%", "0", "in training or stopped")]


def test_the_table_of_pretrainings_names_what_is_not_the_plans(make_lab):
    lab = make_lab(inits=("scratch", "mixcl", "levels"), fractions=(1.0,), folds=(0,))
    lab.pretrain("mixcl")
    lab.pretrain("levels", label_level=(1, 2, 3), seed=1, workers=7)
    table = pretraining_table(collect(lab))
    unlike = {row[0]: row[table.columns.index("Unlike the plan")] for row in table.rows}
    assert unlike == {"mixcl": "", "levels": "seed=1, label_level=[1, 2, 3]"}


def test_a_pre_training_on_another_pool_or_network_is_not_taken_for_the_plans(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0,))
    planned = lab.plan
    other = edit_plan(planned, ["network.layers=4"])
    pool = other.datasets[0].model_copy(update={"cases": ("p1",)})
    lab.plan = other.model_copy(update={"datasets": (pool, *other.datasets[1:])})
    lab.pretrain("mixcl", seed=1)
    lab.plan = planned
    (row,) = pretraining_table(collect(lab)).rows
    assert row[3] == "seed=1; network.layers: 4 and 12; datasets.Pool_A.cases: not the same"
