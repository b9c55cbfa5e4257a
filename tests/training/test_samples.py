from collections.abc import Iterator

import numpy as np
import pytest
import torch

from mixcl_auto.distributed.ranks import Ranks
from mixcl_auto.errors import DataError, RunError
from mixcl_auto.training.samples import (
    Batch,
    Failure,
    Sample,
    SampleDataset,
    collate,
    note_nothing,
    sample_generator,
    split_batch,
)


class Numbers:
    """Draws a few random numbers."""

    note = staticmethod(note_nothing)

    def draw(self, generator: np.random.Generator, number: int) -> Sample:
        drawn = int(generator.integers(1_000_000))
        if number == 5:
            raise DataError("case_5: damaged")
        values = generator.random((1, 2, 3)).astype(np.float32)
        labels = generator.integers(0, 9, (2, 3)).astype(np.uint8)
        return Sample({"values": values, "labels": labels}, (f"case_{number}",), {"drawn": drawn})

    def warm(self) -> None:
        """Nothing to compile."""


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


def test_failed_sample_stands_for_its_batch_and_ends_the_drawing() -> None:
    dataset = SampleDataset(Numbers(), seed=0, batch_size=3)
    drawn = []

    def samples() -> Iterator[Sample | Failure]:
        for number in dataset.numbers(1, range(4)):
            drawn.append(number)
            yield dataset[number]

    assert collate(samples()) == Failure("case_5: damaged")
    assert drawn == [3, 4, 5]


def test_numbers_of_a_part_are_its_places_in_the_global_batch() -> None:
    dataset = SampleDataset(Numbers(), seed=0, batch_size=6)
    assert list(dataset.numbers(2, split_batch(6, Ranks(number=1, count=3)))) == [14, 15]


def test_batch_that_can_not_be_shared_evenly_is_an_error() -> None:
    with pytest.raises(RunError, match=r"4 processes can't share a batch of 6 evenly: start 1, 2, 3, 6 of"):
        split_batch(6, Ranks(number=0, count=4))
