from mixcl_auto.io.files import write_text
from mixcl_auto.io.scores import read_scores, write_scores
from mixcl_auto.reporting.case_choice import choose_cases, choose_worst_per_organ
from mixcl_auto.reporting.grid import collect_grid


def with_files(folder, cases=("a", "b")):
    for case in cases:
        write_text(folder.prediction(case), "")


def choose(lab):
    return choose_cases(collect_grid(lab.workspace, lab.plan, "plan"), "Target_1")


def per_case(values):
    return {case: {"liver": value, "spleen": value} for case, value in values.items()}


def test_cases_are_ranked_by_the_difference_at_the_smallest_share_that_both_arms_have(make_lab):
    lab = make_lab()
    with_files(lab.finetune("scratch", 0.05, 0, 0.1))
    for fold, (scratch, ours) in enumerate(
        [({"a": 0.5, "b": 0.5}, {"a": 0.9, "b": 0.3}), ({"a": 0.2, "b": 0.4}, {"a": 0.3, "b": 0.5})]
    ):
        with_files(lab.finetune("scratch", 1.0, fold, per_case(scratch)))
        with_files(lab.finetune("mixcl", 1.0, fold, per_case(ours)))
    chosen = choose(lab)
    assert [(c.case, c.reason, c.runs[0].key.fold) for c in chosen] == [
        ("b", "lowest difference of Dice", 0),
        ("b", "median difference of Dice", 1),
        ("a", "highest difference of Dice", 0),
    ]
    assert [run.key.init for run in chosen[0].runs] == ["scratch", "mixcl"]


def test_mixcl_is_shown_before_the_supervised_baseline_and_never_a_control(make_lab):
    lab = make_lab(inits=("scratch", "scratch-2", "supervised", "mixcl"), fractions=(1.0,))
    arms = [("scratch", 0, "mixcl"), ("scratch-2", 0, "mixcl"), ("supervised", 0, "supervised")]
    for init, fold, method in arms:
        with_files(lab.finetune(init, 1.0, fold, 0.5, method=method))
    assert [run.key.init for run in choose(lab)[0].runs] == ["scratch", "supervised"]
    with_files(lab.finetune("mixcl", 1.0, 0, 0.5))
    assert [run.key.init for run in choose(lab)[0].runs] == ["scratch", "mixcl"]


def test_runs_without_their_predictions_are_not_shown(make_lab):
    lab = make_lab()
    with_files(lab.finetune("scratch", 1.0, 0, 0.5), cases=("a",))
    lab.finetune("mixcl", 1.0, 0, 0.6)
    assert choose(lab) == []


def test_one_arm_alone_shows_its_own_range(make_lab):
    lab = make_lab()
    with_files(lab.finetune("scratch", 1.0, 1, per_case({"a": 0.8, "b": 0.2})))
    assert [(c.case, c.reason, len(c.runs)) for c in choose(lab)] == [
        ("b", "lowest Dice", 1),
        ("a", "highest Dice", 1),
    ]


def worst(lab):
    grid = collect_grid(lab.workspace, lab.plan, "plan")
    return {c.organ: (c.case, c.runs[-1].key) for c in choose_worst_per_organ(grid, "Target_1")}


def test_the_worst_case_of_each_organ_is_the_pre_trained_arms_lowest_dice(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0, 1))
    for fold in (0, 1):
        with_files(lab.finetune("scratch", 1.0, fold, 0.0))
    first = {"a": {"liver": 0.9, "spleen": 0.2}, "b": {"liver": 0.3, "spleen": None}}
    second = {"a": {"liver": 0.8, "spleen": 0.3}, "b": {"liver": 0.4, "spleen": 0.1}}
    for fold, dice in enumerate((first, second)):
        with_files(lab.finetune("mixcl", 1.0, fold, dice))
    found = worst(lab)
    assert {organ: (case, key.init, key.fold) for organ, (case, key) in found.items()} == {
        "liver": ("b", "mixcl", 0),
        "spleen": ("b", "mixcl", 1),
    }


def test_of_two_missed_organs_the_larger_one_is_shown(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0,))
    folders = [lab.finetune(init, 1.0, 0, 0.0) for init in ("scratch", "mixcl")]
    for folder in folders:
        with_files(folder)
        sizes = {"a": 10, "b": 99}
        scores = [
            score.model_copy(update={"reference_voxels": sizes[score.case]})
            for score in read_scores(folder.scores)
        ]
        write_scores(folder.scores, scores)
    assert {organ: case for organ, (case, _) in worst(lab).items()} == {"liver": "b", "spleen": "b"}


def test_of_many_organs_the_worst_are_shown_and_the_reason_names_the_arm(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0,))
    dice = {case: {"liver": 0.5, "spleen": 0.2} for case in ("a", "b")}
    for init in ("scratch", "mixcl"):
        with_files(lab.finetune(init, 1.0, 0, dice))
    grid = collect_grid(lab.workspace, lab.plan, "plan")
    (choice,) = choose_worst_per_organ(grid, "Target_1", most=1)
    assert choice.reason == "lowest Dice of spleen by mixcl"


def test_an_organ_in_no_case_has_no_worst_one(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0,))
    dice = {case: {"liver": 0.5, "spleen": None} for case in ("a", "b")}
    for init in ("scratch", "mixcl"):
        with_files(lab.finetune(init, 1.0, 0, dice))
    assert list(worst(lab)) == ["liver"]
