import numpy as np

from mixcl_auto.io.files import write_text
from mixcl_auto.reporting.case_choice import choose_cases
from mixcl_auto.reporting.grid import collect_grid
from mixcl_auto.reporting.overlays import crop_box, fullest_slice, radiological
from mixcl_auto.reporting.palette import arm_colours, arm_markers, organ_colours


def test_the_fullest_slice_has_most_labelled_voxels():
    labels = np.zeros((6, 6, 7), np.uint8)
    labels[:2, :2, 2] = 1
    labels[:3, :3, 5] = 2
    assert fullest_slice(labels) == 5
    assert fullest_slice(np.zeros((4, 4, 9))) == 4


def test_pictures_have_anterior_on_top_and_the_patients_right_on_the_left():
    plane = np.zeros((4, 3))
    plane[3, 2] = 1  # most to the right, most anterior
    plane[0, 0] = 2
    image = radiological(plane)
    assert image.shape == (3, 4)
    assert image[0, 0] == 1
    assert image[-1, -1] == 2


def test_the_box_has_a_margin_and_a_least_side_within_the_plane():
    mask = np.zeros((200, 100), bool)
    mask[80:140, 40:44] = True
    x, y = crop_box(mask, (1.0, 2.0), margin_mm=10)
    assert (x.start, x.stop) == (55, 165)  # 60 + 2 x 10 mm is below 110 mm: 55 to each side of 110
    assert (y.start, y.stop) == (14, 70)  # centre 42, 27.5 voxels to each side
    mask[0, 0] = mask[199, 99] = True
    assert crop_box(mask, (1.0, 2.0)) == (slice(0, 200), slice(0, 100))
    assert crop_box(np.zeros((5, 4), bool), (1.0, 1.0)) == (slice(0, 5), slice(0, 4))


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


def test_colours_differ_between_arms_and_between_organs():
    inits = ("scratch", "mixcl", "scratch-2", "balanced", "supervised")
    assert len(set(arm_colours(inits).values())) == len(set(arm_markers(inits).values())) == 5
    assert len(set(organ_colours(range(1, 14)).values())) == 13
    assert organ_colours([3])[3] == organ_colours(range(1, 14))[3]
