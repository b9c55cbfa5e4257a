import math
from itertools import pairwise

import pytest

from mixcl_auto.errors import PlanError
from mixcl_auto.planning.memory import (
    Budget,
    StepMemory,
    choose_batch_size,
    choose_budget,
    choose_recomputing,
    estimated_need,
    memory_warning,
    shrink_patch,
    smaller_patches,
    with_patch,
)
from mixcl_auto.planning.presets import load_preset
from mixcl_auto.records.machine import Accelerator, Machine
from mixcl_auto.records.plan import DatasetPlan

PAPER = load_preset("paper").model_copy(
    update={
        "datasets": (
            DatasetPlan(name="P", role="pretrain", labels={"liver": 1}, cases=("a",), fingerprint=""),
            DatasetPlan(
                name="T",
                role="target",
                labels={f"organ {n}": n for n in range(1, 14)},
                cases=("b",),
                fingerprint="",
            ),
        )
    }
)
SECTIONS = ("pretrain", "finetune")
VOXELS = 96**3


def machine(memory_gb, *gpus_gb):
    gpus = tuple(Accelerator(name="GPU", memory_gb=gb) for gb in gpus_gb)
    return Machine(cores=2, physical_cores=2, memory_gb=memory_gb, accelerators=gpus)


class FakeDevice:
    """A device on which a step takes 1 GB and so many GB per sample of 96^3; it notes what was asked."""

    def __init__(self, pretrain_gb=3.0, finetune_gb=1.0, free_gb=math.inf, fixed_gb=1.0):
        self.fixed_gb = fixed_gb
        self.sample_gb = {"pretrain": pretrain_gb, "finetune": finetune_gb}
        self.free_gb = free_gb
        self.steps = []

    def __call__(self, plan, section, batch_size, limit_gb):
        self.steps.append((section, plan.network.patch_size, batch_size))
        gb = (
            self.fixed_gb + batch_size * self.sample_gb[section] * math.prod(plan.network.patch_size) / VOXELS
        )
        if gb > min(limit_gb, self.free_gb):
            return math.inf if limit_gb <= self.free_gb else None
        return gb


def memory(gb, device=None):
    return StepMemory(Budget(gb, "a test"), device)


# By `step_measure` in float32, on an x86-64 CPU with AVX-512, 2 threads, torch 2.13.
@pytest.mark.parametrize(
    ("section", "side", "measured_gb"),
    [("pretrain", 96, 7.32), ("pretrain", 64, 3.51), ("finetune", 96, 3.43), ("finetune", 64, 2.34)],
)
def test_the_estimate_is_near_what_the_full_network_took(section, side, measured_gb):
    estimate = estimated_need(with_patch(PAPER, (side, side, side)), section, 1).gb(1)
    assert measured_gb <= estimate <= 1.2 * measured_gb


def test_an_estimate_far_below_the_limit_is_not_measured():
    device = FakeDevice()
    choice = choose_batch_size(PAPER, "pretrain", memory(200, device))
    assert (choice.value, choice.rule, device.steps) == (6, "preset", [])
    assert "at batch 6, far below the limit; 80% of 200.0 GB (a test) are used at most" in choice.reason


def test_the_largest_batch_follows_from_one_and_two_samples():
    """1 + 3 b GB: 4.0 and 7.0 GB; 0.8 x 17 = 13.6 GB hold 4 samples, 13 GB, and not 5, 16 GB."""
    device = FakeDevice()
    choice = choose_batch_size(PAPER, "pretrain", memory(17, device))
    assert choice.value == 4
    assert choice.rule == "lowered from the preset's 6 to fit the memory"
    assert "measured 4.0 GB at batch 1, 7.0 GB at 2; 80% of 17.0 GB" in choice.reason.replace(
        "measured 7", "7"
    )
    assert device.steps == [("pretrain", (96, 96, 96), 1), ("pretrain", (96, 96, 96), 2)]


def test_a_batch_that_just_fits_stays_the_presets():
    """1 + 6 x 3 = 19 GB = 0.8 x 23.75."""
    assert choose_batch_size(PAPER, "pretrain", memory(23.75, FakeDevice())).value == 6
    assert choose_batch_size(PAPER, "pretrain", memory(23.6, FakeDevice())).value == 5


def test_a_second_sample_that_is_stopped_at_the_limit_leaves_a_batch_of_one():
    choice = choose_batch_size(PAPER, "pretrain", memory(6, FakeDevice()))
    assert choice.value == 1
    assert "more than 6.0 GB at 2" in choice.reason


def test_the_projector_is_recomputed_only_where_the_batch_does_not_fit_otherwise():
    """1 + 6 x 3 = 19 GB = 0.8 x 23.75."""
    kept = choose_recomputing(PAPER, memory(23.75, FakeDevice()))
    assert (kept.value, kept.rule) == (False, "preset")
    spared = choose_recomputing(PAPER, memory(23.6, FakeDevice()))
    assert (spared.value, spared.rule) == (True, "the memory is short")
    assert "measured 4.0 GB at batch 1, measured 7.0 GB at 2".replace("measured 7", "7") in spared.reason


def test_steps_with_a_recomputed_projector_are_measured_by_themselves():
    device = FakeDevice()
    known = memory(17, device)
    known.need(PAPER, "pretrain", 6)
    section = PAPER.pretrain.model_copy(update={"recompute_level_0": True})
    known.need(PAPER.model_copy(update={"pretrain": section}), "pretrain", 6)
    assert len(device.steps) == 4


def test_measured_numbers_are_rounded_up_to_tenths():
    """Two measurements that differ by noise give the same plan and the same words."""
    choices = {
        choose_batch_size(PAPER, "pretrain", memory(17, FakeDevice(pretrain_gb=gb))) for gb in (2.96, 2.99)
    }
    assert len(choices) == 1


def test_noise_does_not_make_further_samples_free():
    """Two samples seem to take no more than one: 0.4 x 5.5 = 2.2 GB count for each; 5 + 2.2 of 8 GB."""
    device = FakeDevice(pretrain_gb=0.0, fixed_gb=5.0)
    assert choose_batch_size(PAPER, "pretrain", memory(10, device)).value == 2


def test_a_step_is_measured_once():
    device = FakeDevice()
    known = memory(17, device)
    assert shrink_patch(PAPER, SECTIONS, known) is None
    for section in SECTIONS:
        choose_batch_size(PAPER, section, known)
        memory_warning(PAPER, section, known)
    assert len(device.steps) == len(set(device.steps))


def test_where_this_machine_can_not_hold_the_step_the_estimate_decides():
    device = FakeDevice(free_gb=2.0)
    measured = choose_batch_size(PAPER, "pretrain", memory(17, device))
    estimated = choose_batch_size(PAPER, "pretrain", memory(17))
    assert measured.value == estimated.value
    assert "not measured" in measured.reason


def test_the_side_that_reaches_furthest_becomes_shorter_first():
    """z: 96, 80, 64, 48 voxels are 192, 160, 128, 96 mm; x and y: 96, 80 voxels are 144, 120 mm."""
    patches = list(smaller_patches((96, 96, 96), (1.5, 1.5, 2.0)))
    assert patches[:5] == [(96, 96, 80), (96, 96, 64), (80, 96, 64), (80, 80, 64), (80, 80, 48)]
    assert patches[-1] == (32, 32, 32)
    assert all(math.prod(b) < math.prod(a) for a, b in pairwise(patches))


def test_sides_of_a_thin_scan_are_left_alone():
    assert list(smaller_patches((48, 16, 32), (1.0, 9.0, 1.0))) == [(32, 16, 32)]
    assert list(smaller_patches((32, 32, 32), (1.0, 1.0, 1.0))) == []


def test_the_patch_is_the_largest_whose_steps_fit_in_both_trainers():
    """0.8 x 2.7 = 2.16 GB hold 1 GB + 1.04 GB for 80 x 80 x 48, and not + 1.39 GB for 80 x 80 x 64."""
    device = FakeDevice()
    known = memory(2.7, device)
    choice = shrink_patch(PAPER, SECTIONS, known)
    assert choice.value == (80, 80, 48)
    assert choice.rule == "shrunk from 96 x 96 x 96 in steps of 16 to fit the memory"
    assert "pretrain: measured 2.1 GB at batch 1; finetune: measured 1.4 GB at batch 1" in choice.reason
    patches = [with_patch(PAPER, patch) for patch in smaller_patches((96, 96, 96), (1.5, 1.5, 2.0))]
    fitting = [plan.network.patch_size for plan in patches if known.fits(plan, "pretrain")]
    assert fitting[0] == choice.value


def test_a_trainer_that_will_not_run_shrinks_nothing():
    assert shrink_patch(PAPER, ["finetune"], memory(2.7, FakeDevice())) is None


@pytest.mark.parametrize("sample_gb", [4.0, 5.0, 6.0])
def test_the_search_measures_few_patches_and_ends_between_fitting_and_not(sample_gb):
    """Whether the estimate, of 2.2 GB and 5.5 GB a sample, is too high or too low."""
    device = FakeDevice(pretrain_gb=sample_gb, fixed_gb=2.2)
    known = memory(4, device)
    choice = shrink_patch(PAPER, ["pretrain"], known)
    measured = len(device.steps)
    patches = [PAPER.network.patch_size, *smaller_patches((96, 96, 96), (1.5, 1.5, 2.0))]
    fitting = [known.fits(with_patch(PAPER, patch), "pretrain") for patch in patches]
    assert choice.value == patches[fitting.index(True)] != patches[0]
    assert measured <= 4


def test_memory_that_holds_no_patch_is_an_error_that_says_how_much_would():
    """1.05 + 30 / 27 = 2.12 GB, upwards 2.2; 2.2 / 0.8 = 2.75."""
    device = FakeDevice(pretrain_gb=30.0)
    with pytest.raises(
        PlanError,
        match=r"a pretrain step takes 2\.2 GB .* 32 x 32 x 32 \(measured 2\.2 GB .*at least 2\.8 GB",
    ):
        shrink_patch(PAPER, SECTIONS, memory(2.5, device))


def test_memory_that_stops_the_smallest_step_is_told_by_the_estimate():
    gb = estimated_need(with_patch(PAPER, (32, 32, 32)), "pretrain", 1).gb(1)
    with pytest.raises(PlanError, match=rf"takes {gb:.1f} GB .*more than 1\.0 GB at batch 1"):
        shrink_patch(PAPER, SECTIONS, memory(1, FakeDevice(pretrain_gb=3.0)))


def test_a_users_batch_that_does_not_fit_brings_a_warning():
    known = memory(17, FakeDevice())
    warning = memory_warning(PAPER, "pretrain", known)
    assert "pretrain: a batch of 6 with patches of 96 x 96 x 96 would take some 19.0 GB (measured" in warning
    known = memory(6, FakeDevice())
    assert "would not fit the memory (measured 4.0 GB" in memory_warning(PAPER, "pretrain", known)
    assert memory_warning(PAPER, "finetune", known) is None


def test_without_a_wish_the_smallest_gpu_is_planned_for_else_the_machine():
    assert choose_budget(machine(500, 80, 14), None).memory_gb == 14
    assert choose_budget(machine(24), None) == Budget(24, "this machine")
    assert choose_budget(machine(500, 80), 12.0) == Budget(12, "--memory-gb")
    assert choose_budget(machine(None), None) is None
    assert choose_budget(machine(None), 12.0).memory_gb == 12


@pytest.mark.parametrize("wish", [0.0, -1.0, math.nan, math.inf])
def test_a_wish_that_is_no_memory_is_refused(wish):
    with pytest.raises(PlanError, match="--memory-gb takes a number of GB above 0"):
        choose_budget(machine(24), wish)
