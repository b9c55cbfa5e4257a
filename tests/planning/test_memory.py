import pytest

from mixcl_auto.planning.memory import choose_batch_size, training_gb
from mixcl_auto.records.machine import Accelerator, Machine
from mixcl_auto.records.plan import NetworkPlan

FULL = NetworkPlan()


def machine(memory_gb, *gpus_gb):
    gpus = tuple(Accelerator(name="GPU", memory_gb=gb) for gb in gpus_gb)
    return Machine(cores=2, physical_cores=2, memory_gb=memory_gb, accelerators=gpus)


@pytest.mark.parametrize(
    ("section", "batch_size", "measured_gb"),
    [("pretrain", 6, 18.2), ("finetune", 2, 3.9)],
)
def test_the_estimate_is_near_what_the_full_network_took(section, batch_size, measured_gb):
    estimate = training_gb(FULL, section, batch_size)
    assert measured_gb <= estimate <= 1.25 * measured_gb


def test_a_sample_of_the_full_network_adds_its_voxels_times_features():
    """96^3 x 16 x 190 bytes = 2.690 GB."""
    growth = training_gb(FULL, "pretrain", 2) - training_gb(FULL, "pretrain", 1)
    assert growth == pytest.approx(2.690, abs=0.001)


def test_a_batch_that_fits_stays_the_presets():
    choice = choose_batch_size(6, FULL, "pretrain", machine(24))
    assert (choice.value, choice.rule) == (6, "preset")
    assert "18 of 24 GB" in choice.reason


def test_the_smallest_gpu_limits_the_batch_and_not_the_machine():
    choice = choose_batch_size(6, FULL, "pretrain", machine(500, 80, 14))
    assert choice.value == 3
    assert training_gb(FULL, "pretrain", 3) <= 11.2 < training_gb(FULL, "pretrain", 4)
    assert choice.rule == "lowered from the preset's 6 to fit the memory"


def test_a_batch_is_never_below_one_nor_above_the_preset():
    assert choose_batch_size(6, FULL, "pretrain", machine(2)).value == 1
    assert choose_batch_size(2, FULL, "finetune", machine(4000)).value == 2


def test_unknown_memory_leaves_the_preset():
    assert choose_batch_size(6, FULL, "pretrain", machine(None)).value == 6
