"""Load batches ahead.

Whatever the number of workers, whether one of them dies, and wherever a run was resumed, step s sees the same
batch. Processes that share a batch load their own indices of it each: the draws know nothing of ranks.
"""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor

import torch

from mixcl_auto.distributed.ranks import ALONE, Ranks
from mixcl_auto.engines.compilation import telling_of_compilation
from mixcl_auto.errors import RunError
from mixcl_auto.training.loader_workers import PATIENCE_S, LoaderWorkers
from mixcl_auto.training.samples import Batch, Failure, SampleDataset, SampleSource, collate, split_batch


def load_batches(
    source: SampleSource,
    *,
    seed: int,
    batch_size: int,
    steps: range,
    workers: int,
    device: torch.device,
    ranks: Ranks = ALONE,
    patience_s: float = PATIENCE_S,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Generator[Batch, None, None]:
    """Give the batch of each step, in order; of several processes each gets its part, in the order of ranks.

    Args:
        source: draws the samples.
        seed: of the run.
        batch_size: samples of the global batch.
        steps: which steps to load; a resumed run starts in the middle.
        workers: processes that draw ahead; 0 draws in this one. The batches do not depend on it. If one of
            them dies or stands still, a warning names its case and the cause, and the others go on.
        device: where the batches will go.
        ranks: the processes that share the global batch.
        patience_s: how long a batch may take before its worker counts as dead-locked and is killed.
        is_stopped: whether nobody wants to wait long for a batch any more.

    Raises:
        StoppedWaitingError: if a worker gives nothing for some seconds after ``is_stopped``.
        RunError: if the batch can't be split evenly, a sample can't be drawn, or one worker after the other
            dies of it.
    """
    own = split_batch(batch_size, ranks)
    samples = SampleDataset(source, seed=seed, batch_size=batch_size)
    if not workers or not len(steps):
        for step in steps:
            batch = _usable(collate(samples[number] for number in samples.numbers(step, own)))
            yield batch.pin_memory() if device.type == "cuda" else batch
        return
    with telling_of_compilation():
        source.warm()
    processes = LoaderWorkers(
        samples, own, steps, count=workers, patience_s=patience_s, is_stopped=is_stopped
    )
    try:
        if device.type == "cuda":
            yield from _pinned_ahead(processes, steps, device)
        else:
            for step in steps:
                yield _usable(processes.receive(step))
    finally:
        processes.close()


def _pinned_ahead(
    processes: LoaderWorkers, steps: range, device: torch.device
) -> Generator[Batch, None, None]:
    """Copy the next batch to page-locked memory, in a thread, while this one is used."""

    def receive(step: int) -> Batch:
        return _usable(processes.receive(step)).pin_memory()

    index = torch.cuda.current_device() if device.index is None else device.index
    with ThreadPoolExecutor(1, initializer=_use_device, initargs=(index,)) as thread:
        try:
            coming = thread.submit(receive, steps[0])
            for step in steps[1:]:
                batch = coming.result()
                coming = thread.submit(receive, step)
                yield batch
            yield coming.result()
        finally:
            processes.leave()


def _use_device(index: int) -> None:
    """In the thread that pins: else it would take memory on the first device, and all cores."""
    torch.cuda.set_device(index)
    torch.set_num_threads(1)


def _usable(batch: Batch | Failure) -> Batch:
    if isinstance(batch, Failure):
        raise RunError(batch.message)
    return batch
