import math

import pytest

from mixcl_auto.errors import PlanError
from mixcl_auto.planning import rules
from mixcl_auto.records.plan import FinetunePlan, NetworkPlan, PretrainPlan

PRESET_MM = (1.5, 1.5, 2.0)


def spaced(make, *spacings_mm):
    return [make.fingerprint([make.case(str(i), spacing_mm=s) for i, s in enumerate(spacings_mm)])]


def test_spacing_is_the_presets_unless_asked_for(make):
    choice = rules.choose_spacing(PRESET_MM, None, spaced(make, (1, 1, 1)))
    assert (choice.value, choice.rule) == (PRESET_MM, "preset")
    assert rules.choose_spacing(PRESET_MM, [1, 2, 3], []).value == (1.0, 2.0, 3.0)


def test_auto_spacing_is_the_median_per_axis_over_all_cases(make):
    data = spaced(make, (1, 2, 2), (2, 3, 3), (9, 4, 5)) + spaced(make, (3, 3, 4), (1, 3, 9))
    choice = rules.choose_spacing(PRESET_MM, "auto", data)
    assert choice.value == (2.0, 3.0, 4.0)
    assert choice.reason == "median of 5 cases"


def test_a_strongly_anisotropic_axis_takes_its_10th_percentile(make):
    """z: 2, 5, 5, 5, 6 mm; median 5 > 3 x 1; 10th percentile 2 + 0.4 x (5 - 2) = 3.2 mm."""
    data = spaced(make, (1, 1, 2), (1, 1, 5), (1, 1, 5), (1, 1, 5), (1, 1, 6))
    choice = rules.choose_spacing(PRESET_MM, "auto", data)
    assert choice.value == (1.0, 1.0, 3.2)
    assert "z is anisotropic (5.00 mm)" in choice.reason


def test_three_times_the_other_axes_is_not_yet_strongly_anisotropic(make):
    assert (
        rules.choose_spacing(PRESET_MM, "auto", spaced(make, (1, 1, 1), (1, 1, 3), (1, 1, 3))).value[2] == 3.0
    )


def test_the_anisotropic_axis_never_becomes_finer_than_the_others(make):
    data = spaced(make, (2, 2, 0.5), (2, 2, 8), (2, 2, 8))
    assert rules.choose_spacing(PRESET_MM, "auto", data).value == (2.0, 2.0, 2.0)


@pytest.mark.parametrize("request_mm", [[1, 1], [0, 1, 1], [1, 1, math.inf], [1, 1, -2]])
def test_impossible_spacings_are_refused(request_mm):
    with pytest.raises(PlanError, match="three lengths above 0 in mm"):
        rules.choose_spacing(PRESET_MM, request_mm, [])


def shaped(make, *shapes):
    return [
        make.fingerprint([make.case(str(i), shape=s, spacing_mm=(1, 1, 1)) for i, s in enumerate(shapes)])
    ]


@pytest.mark.parametrize(
    ("shape", "patch"),
    [((200, 200, 200), (96, 96, 96)), ((96, 95, 17), (96, 96, 32)), ((3, 16, 33), (16, 16, 48))],
)
def test_the_patch_is_no_larger_than_the_median_scan_rounded_up_to_16(make, shape, patch):
    choice = rules.choose_patch_size((96, 96, 96), (1.0, 1.0, 1.0), shaped(make, shape))
    assert choice.value == patch
    assert (choice.rule == "preset") == (patch == (96, 96, 96))


@pytest.mark.parametrize(
    ("shape", "patch"),
    [((9, 3, 16), (16, 16, 32)), ((5, 5, 5), (32, 16, 16)), ((16, 17, 1), (16, 32, 16))],
)
def test_a_patch_of_tiny_scans_leaves_pre_training_more_than_one_voxel_at_the_deepest_level(
    make, shape, patch
):
    assert rules.choose_patch_size((96, 96, 96), (1.0, 1.0, 1.0), shaped(make, shape)).value == patch
    assert rules.choose_patch_size((16, 16, 16), (1.0, 1.0, 1.0), shaped(make, shape)).value == (16, 16, 16)


def test_the_patch_follows_the_plans_grid(make):
    choice = rules.choose_patch_size((96, 96, 96), (2.0, 2.0, 4.0), shaped(make, (100, 100, 100)))
    assert choice.value == (64, 64, 32)
    assert choice.reason == "median resampled scan 50 x 50 x 25 voxels"


@pytest.mark.parametrize(
    ("cores", "physical", "threads", "workers"), [(1, 1, 1, 1), (2, 2, 2, 1), (8, 4, 4, 7), (64, 32, 8, 8)]
)
def test_threads_and_workers_follow_the_cores(make, cores, physical, threads, workers):
    machine = make.machine(cores, physical)
    assert rules.choose_threads(machine, NetworkPlan()).value == threads
    assert rules.choose_workers(machine).value == workers


@pytest.mark.parametrize(
    ("side", "feature_size", "threads"), [(32, 8, 1), (96, 8, 4), (32, 16, 1), (48, 16, 4), (96, 16, 4)]
)
def test_a_small_network_runs_on_one_thread(make, side, feature_size, threads):
    network = NetworkPlan(patch_size=(side, side, side), feature_size=feature_size)
    choice = rules.choose_threads(make.machine(8, 4), network)
    assert choice.value == threads
    assert (choice.rule == "one for a small network") == (threads == 1)


@pytest.mark.parametrize(
    ("preset", "available", "folds"),
    [
        ((0, 1, 2, 3, 4), [5], (0, 1, 2, 3, 4)),
        ((0, 1, 2, 3, 4), [2, 3], (0, 1, 2)),
        ((0, 1), [5], (0, 1)),
        ((0, 1), [], (0, 1)),
    ],
)
def test_only_folds_that_exist_are_run(preset, available, folds):
    assert rules.choose_folds(preset, available).value == folds


def test_hours_follow_from_counted_operations_and_the_measured_rate():
    """437 GFLOP x 3 views x 6 samples x 1000 steps at 2 x 110 GFLOP/s are 35 755 s."""
    hours = rules.training_hours(NetworkPlan(), PretrainPlan(), cases=1, views=3, cores=2)
    assert hours == pytest.approx(35_754.545 / 3600)
    small = NetworkPlan(patch_size=(48, 48, 48), feature_size=8)
    epochs = FinetunePlan(iterations=None, epochs=10, batch_size=2)
    assert rules.training_hours(small, epochs, cases=5, views=1, cores=1) == pytest.approx(
        437 / 8 / 4 * 2 * 30 / 110 / 3600
    )
