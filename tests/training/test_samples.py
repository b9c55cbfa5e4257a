import multiprocessing
import os
import signal
import sys
from dataclasses import dataclass
from types import FrameType

import numpy as np
import pytest
import torch

from mixcl_auto.errors import DataError, RunError
from mixcl_auto.training.samples import Batch, Sample, SampleDataset, collate, load_batches, sample_generator

CPU = torch.device("cpu")


@dataclass
class Numbers:
    """Draws a few random numbers; fails, dies or is asked to stop where a test wants it."""

    fails_at: int = -1
    dies_in_workers: bool = False
    is_terminated: bool = False
    warmed: int = 0

    def draw(self, generator: np.random.Generator, number: int) -> Sample:
        drawn = int(generator.integers(1_000_000))
        if self.fails_at == number:
            raise DataError(f"case_{number}: damaged")
        if self.dies_in_workers:
            os._exit(3)
        if self.is_terminated:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
        values = generator.random((1, 2, 3)).astype(np.float32)
        labels = generator.integers(0, 9, (2, 3)).astype(np.uint8)
        return Sample({"values": values, "labels": labels}, (f"case_{number}",), {"drawn": drawn})

    def warm(self) -> None:
        self.warmed += 1


def load(source: Numbers, steps: range, workers: int, seed: int = 5) -> list[Batch]:
    return list(load_batches(source, seed=seed, batch_size=3, steps=steps, workers=workers, device=CPU))


def assert_equal_batches(first: list[Batch], second: list[Batch]) -> None:
    assert len(first) == len(second)
    for one, two in zip(first, second, strict=True):
        assert one.cases == two.cases
        assert one.numbers == two.numbers
        assert all(torch.equal(one.tensors[name], two.tensors[name]) for name in one.tensors)


def test_batches_do_not_depend_on_the_number_of_workers() -> None:
    alone = load(Numbers(), range(5), workers=0)
    assert len(alone) == 5
    for workers in (1, 2):
        assert_equal_batches(alone, load(Numbers(), range(5), workers))


def test_resumed_loader_continues_where_it_stopped() -> None:
    whole = load(Numbers(), range(6), workers=0)
    assert_equal_batches(whole[4:], load(Numbers(), range(4, 6), workers=1))


def test_batches_differ_between_steps_samples_and_seeds() -> None:
    drawn = [n for seed in (5, 6) for b in load(Numbers(), range(4), 0, seed) for n in b.numbers["drawn"]]
    assert len(set(drawn)) == 24


def test_item_is_drawn_by_seed_step_and_index() -> None:
    dataset = SampleDataset(Numbers(), seed=11, batch_size=3)
    sample = dataset[7]
    assert isinstance(sample, Sample)
    assert sample.numbers["drawn"] == int(sample_generator(11, 2, 1).integers(1_000_000))


def test_collate_stacks_samples_and_keeps_their_order_and_types() -> None:
    samples = [Numbers().draw(sample_generator(0, 0, index), index) for index in range(2)]
    batch = collate(samples)
    assert isinstance(batch, Batch)
    assert batch.tensors["values"].shape == (2, 1, 2, 3)
    assert batch.tensors["values"].dtype == torch.float32
    assert batch.tensors["values"].is_contiguous()
    assert batch.tensors["labels"].dtype == torch.uint8
    np.testing.assert_array_equal(batch.tensors["labels"][1].numpy(), samples[1].arrays["labels"])
    assert batch.cases == ("case_0", "case_1")
    assert batch.numbers["drawn"] == [sample.numbers["drawn"] for sample in samples]


@pytest.mark.parametrize("workers", [0, 1])
def test_failed_sample_is_one_clear_line_from_any_process(workers: int) -> None:
    with pytest.raises(RunError, match=r"^case_2: damaged$"):
        load(Numbers(fails_at=2), range(2), workers)


def test_dead_worker_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(RunError, match=r"a loader worker died .*: use fewer workers, or none with workers=0"):
        load(Numbers(dies_in_workers=True), range(2), workers=1)


def test_workers_leave_stop_signals_to_their_parent() -> None:
    # Every worker gets one SIGTERM (the first) and Ctrl-C, as a process group does.
    batches = load_batches(
        Numbers(is_terminated=True), seed=0, batch_size=1, steps=range(1), workers=1, device=CPU
    )
    assert next(batches).cases == ("case_0",)


def test_kernels_are_compiled_before_workers_start_and_not_without_steps() -> None:
    source = Numbers()
    load(source, range(1), workers=0)
    load(source, range(0), workers=1)
    assert source.warmed == 0
    load(source, range(1), workers=1)
    assert source.warmed == 1


def test_workers_end_with_the_loader_even_if_something_keeps_its_frame() -> None:
    """As a compiler's stored exceptions did: the process then waited for its workers for ever."""
    kept: list[FrameType | None] = []

    class Keeping(Numbers):
        def warm(self) -> None:
            kept.append(sys._getframe().f_back)

    batches = load_batches(Keeping(), seed=1, batch_size=1, steps=range(9), workers=1, device=CPU)
    next(batches)
    assert len(multiprocessing.active_children()) == 1
    batches.close()
    assert kept[0] is not None
    assert multiprocessing.active_children() == []
