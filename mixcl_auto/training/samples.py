"""Samples that depend on (seed, step, index in the global batch) alone, and the loader that makes them ahead.

Whatever the number of workers, and wherever a run was resumed, step s sees the same batch. Processes that
share a batch load their own indices of it each: the draws know nothing of ranks.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mixcl_auto.distributed.ranks import ALONE, Ranks
from mixcl_auto.engines.compilation import telling_of_compilation
from mixcl_auto.errors import MixCLError, RunError
from mixcl_auto.training.interruption import leave_stopping_to_parent

PREFETCHED_BATCHES = 2


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


class SampleSource(Protocol):
    """What draws samples; it travels to the workers."""

    def draw(self, generator: np.random.Generator, number: int) -> Sample:
        """Draw sample ``number`` of the run, counted from 0; all random numbers come from ``generator``."""

    def warm(self) -> None:
        """Compile in this process what the workers will need, so that they inherit it."""


def sample_generator(seed: int, step: int, index: int) -> np.random.Generator:
    """The one source of randomness of the sample at ``index`` of the global batch of ``step``."""
    return np.random.default_rng([seed, step, index])


class SampleDataset(Dataset[Sample | Failure]):
    """All samples of a run in a row: item i is sample ``i % batch_size`` of step ``i // batch_size``."""

    def __init__(self, source: SampleSource, *, seed: int, batch_size: int) -> None:
        self.source = source
        self.seed = seed
        self.batch_size = batch_size

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


def load_batches(
    source: SampleSource,
    *,
    seed: int,
    batch_size: int,
    steps: range,
    workers: int,
    device: torch.device,
    ranks: Ranks = ALONE,
) -> Generator[Batch, None, None]:
    """Give the batch of each step, in order; of several processes each gets its part, in the order of ranks.

    Args:
        source: draws the samples.
        seed: of the run.
        batch_size: samples of the global batch.
        steps: which steps to load; a resumed run starts in the middle.
        workers: processes that draw ahead; 0 draws in this one. The batches do not depend on it.
        device: where the batches will go.
        ranks: the processes that share the global batch.

    Raises:
        RunError: if the batch can't be split evenly, a sample can't be drawn, or a worker died.
    """
    own = split_batch(batch_size, ranks)
    loader: DataLoader[Sample | Failure] = DataLoader(
        SampleDataset(source, seed=seed, batch_size=batch_size),
        batch_size=len(own),
        sampler=[step * batch_size + index for step in steps for index in own],
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_start_worker,
        prefetch_factor=PREFETCHED_BATCHES if workers else None,
        pin_memory=device.type == "cuda",
    )
    if workers and len(steps):
        with telling_of_compilation():
            source.warm()
    batches = iter(loader)
    try:
        for _ in steps:
            yield _next_batch(batches)
    finally:
        del batches  # its workers end with it, even if something holds this frame, as numba's compiler may


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


def _next_batch(batches: Iterator[Batch | Failure]) -> Batch:
    try:
        batch = next(batches)
    except RuntimeError as problem:
        if "DataLoader worker" not in str(problem):
            raise
        raise RunError(
            f"a loader worker died ({problem}); it may have run out of memory or of shared memory "
            "(/dev/shm): use fewer workers, or none with workers=0, and run the same command again to go on"
        ) from problem
    if isinstance(batch, Failure):
        raise RunError(batch.message)
    return batch


def _start_worker(worker: int) -> None:
    """One thread per worker: the cores belong to the network and to the other workers."""
    torch.set_num_threads(1)
    leave_stopping_to_parent()
