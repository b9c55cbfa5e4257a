"""Samples that depend on (seed, step, index in the global batch) alone, and the batches of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixcl_auto.distributed.ranks import Ranks
from mixcl_auto.errors import MixCLError, RunError


@dataclass(frozen=True)
class Sample:
    """One sample as a worker draws it.

    Attributes:
        arrays: what goes to the device; the same names and shapes in every sample.
        cases: ids of the cases it comes from, for messages.
        numbers: small integers that stay on the host, such as a number of classes.
    """

    arrays: dict[str, NDArray[np.generic]]
    cases: tuple[str, ...]
    numbers: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Samples stacked along a new first axis.

    Attributes:
        tensors: contiguous, (B, ...).
        cases: of all samples.
        numbers: one integer per sample under each name.
    """

    tensors: dict[str, Tensor]
    cases: tuple[str, ...]
    numbers: dict[str, list[int]]

    def pin_memory(self) -> Self:
        """The same batch in page-locked memory; the loader calls it for a GPU."""
        return replace(self, tensors={name: tensor.pin_memory() for name, tensor in self.tensors.items()})

    def to(self, device: torch.device) -> Self:
        """The same batch on a device; a copy from page-locked memory is not waited for."""
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in self.tensors.items()}
        return replace(self, tensors=moved)


@dataclass(frozen=True)
class Failure:
    """Why a sample could not be drawn: carried out of the worker as data, so that it stays one line."""

    message: str


Note = Callable[[str], None]


class SampleSource(Protocol):
    """What draws samples; it travels to the workers."""

    note: Note
    """Called by ``draw`` with the name of each case before its voxels are read: a worker that dies of one
    can't tell afterwards."""

    def draw(self, generator: np.random.Generator, number: int) -> Sample:
        """Draw sample ``number`` of the run, counted from 0; all random numbers come from ``generator``."""

    def warm(self) -> None:
        """Compile in this process what the workers will need, so that they inherit it."""


def note_nothing(case: str) -> None:
    """What a source's ``note`` is where nobody asks."""


def sample_generator(seed: int, step: int, index: int) -> np.random.Generator:
    """The one source of randomness of the sample at ``index`` of the global batch of ``step``."""
    return np.random.default_rng([seed, step, index])


class SampleDataset:
    """All samples of a run in a row: item i is sample ``i % batch_size`` of step ``i // batch_size``."""

    def __init__(self, source: SampleSource, *, seed: int, batch_size: int) -> None:
        self.source = source
        self.seed = seed
        self.batch_size = batch_size

    def numbers(self, step: int, own: range) -> range:
        """The items of a step's batch: those at the places ``own`` of the global batch."""
        first = step * self.batch_size
        return range(first + own.start, first + own.stop, own.step)

    def __getitem__(self, number: int) -> Sample | Failure:
        """Draw a sample; a problem that the user can act on comes back as a ``Failure``."""
        step, index = divmod(number, self.batch_size)
        try:
            return self.source.draw(sample_generator(self.seed, step, index), number)
        except MixCLError as problem:
            return Failure(str(problem))


def collate(samples: Iterable[Sample | Failure]) -> Batch | Failure:
    """Stack samples to a batch; the first failure stands for the batch."""
    drawn: list[Sample] = []
    for sample in samples:
        if isinstance(sample, Failure):
            return sample
        drawn.append(sample)
    first = drawn[0]
    return Batch(
        tensors={
            name: torch.from_numpy(np.stack([sample.arrays[name] for sample in drawn]))
            for name in first.arrays
        },
        cases=tuple(case for sample in drawn for case in sample.cases),
        numbers={name: [sample.numbers[name] for sample in drawn] for name in first.numbers},
    )


def split_batch(batch_size: int, ranks: Ranks) -> range:
    """Which samples of the global batch are this process's.

    Raises:
        RunError: if the processes can't have equally many.
    """
    if batch_size % ranks.count:
        fitting = [str(count) for count in range(1, batch_size + 1) if batch_size % count == 0]
        raise RunError(
            f"{ranks.count} processes can't share a batch of {batch_size} evenly: start {', '.join(fitting)} "
            "of them, or set batch_size (which changes the result) to a multiple of their number"
        )
    return ranks.share(batch_size)
