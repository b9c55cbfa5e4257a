"""Processes that draw batches ahead; one that dies or stands still is replaced by the others.

Each has its own connection. PyTorch's ``DataLoader`` has one queue for all: a worker that is killed may leave
its lock locked, the arrays come through the worker itself even if it stands still, and its signal handler
raises an error wherever the training happens to be, such as in the middle of a step.
"""

import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import ForkContext, SpawnContext

import numpy as np
import torch
from numpy.typing import NDArray

from mixcl_auto.engines.cause_of_death import OUT_OF_MEMORY_CODE, Death, MemoryKiller
from mixcl_auto.engines.channel import Channel, ChannelClosedError, ready_channels
from mixcl_auto.engines.worker import Worker, end_workers, portable
from mixcl_auto.errors import RunError
from mixcl_auto.training.drawing_note import DrawingNote
from mixcl_auto.training.interruption import leave_stopping_to_parent
from mixcl_auto.training.samples import Batch, Failure, SampleDataset, collate

logger = logging.getLogger(__name__)

PREFETCHED_BATCHES = 2
"""Per worker."""

PATIENCE_S = 600.0
"""How long a batch may take before its worker counts as dead-locked."""

ATTEMPTS = 2
"""Workers that one batch may cost."""

_STOP_PATIENCE_S = 3.0
"""How long a batch may take that was begun when a stop was asked for."""

_POLL_S = 0.5
_END_PATIENCE_S = 1.0

_Arrays = tuple[dict[str, NDArray[np.generic]], tuple[str, ...], dict[str, list[int]]]
"""A batch as it travels."""


class StoppedWaitingError(Exception):
    """A stop was asked for, and the next batch does not come."""


class LoaderWorkers:
    """Processes that draw the batches of some steps ahead.

    Args:
        samples: of the run.
        own: which samples of each global batch this process wants.
        steps: which batches.
        count: of processes.
        patience_s: see ``PATIENCE_S``.
        is_stopped: whether nobody wants to wait long any more.
    """

    def __init__(
        self,
        samples: SampleDataset,
        own: range,
        steps: range,
        *,
        count: int,
        patience_s: float,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._samples, self._own, self._end, self._patience_s = samples, own, steps.stop, patience_s
        # forked, workers have at once what the parent imported and compiled
        self._context = ForkContext() if sys.platform == "linux" else SpawnContext()
        self._workers: list[_Drawer] = []
        self._arrived: dict[int, Batch | Failure | Exception] = {}
        self._deaths: Counter[int] = Counter()
        self._killer = MemoryKiller()
        self._is_left = threading.Event()
        self._is_stopped = is_stopped
        try:
            for _ in range(count):
                self._start()
        except BaseException:
            self.close()
            raise

    def receive(self, step: int) -> Batch | Failure:
        """The batch of a step; each is asked for once, in the order of the steps.

        Raises:
            StoppedWaitingError: if it does not come within seconds, and nobody wants to wait.
            RunError: if it can't be drawn: one worker after the other died of it or stood still.
            Exception: that a worker met.
        """
        self._killer.look()
        waited_s = 0.0
        while step not in self._arrived:
            if self._is_left.is_set():
                raise RunError("the loader was closed while a batch was waited for")
            self._hand_out(step)
            begin = time.monotonic()
            progressed = self._take(step)
            # no more than that passed for the workers, if all of them were suspended meanwhile
            waited_s = 0.0 if progressed else waited_s + min(_POLL_S, time.monotonic() - begin)
            if waited_s >= _STOP_PATIENCE_S and self._is_stopped():
                raise StoppedWaitingError
            if waited_s >= self._patience_s:
                self._end_dead_locked(step)
                waited_s = 0.0
        self._hand_out(step + 1)
        batch = self._arrived.pop(step)
        if isinstance(batch, Exception):
            raise batch
        return batch

    def leave(self) -> None:
        """Make a ``receive`` in another thread return soon."""
        self._is_left.set()

    def close(self) -> None:
        """End the workers."""
        end_workers((drawer.worker for drawer in self._workers), _END_PATIENCE_S)
        self._workers.clear()

    def _start(self) -> None:
        note = DrawingNote(self._context)
        others = [drawer.worker for drawer in self._workers]
        worker = Worker(self._context, draw_batches, (self._samples, self._own, note), others)
        self._workers.append(_Drawer(worker, note))

    def _hand_out(self, step: int) -> None:
        """Give the workers the batches from ``step`` on that nobody draws yet, a few ahead."""
        handed_out = {task for drawer in self._workers for task in drawer.steps}.union(self._arrived)
        for wanted in range(step, min(self._end, step + PREFETCHED_BATCHES * len(self._workers))):
            if wanted not in handed_out:
                min(self._workers, key=lambda drawer: len(drawer.steps)).order(wanted)

    def _take(self, step: int) -> bool:
        """Take what has come; whether ``step`` has come nearer by it."""
        channels = ready_channels([drawer.worker.channel for drawer in self._workers], _POLL_S)
        progressed = False
        for drawer in [drawer for drawer in self._workers if drawer.worker.channel in channels]:
            progressed |= step in drawer.steps
            try:
                arrived, batch = drawer.worker.channel.receive()
            except ChannelClosedError:
                self._bury(drawer, drawer.worker.autopsy(self._killer))
                progressed = True
            else:
                drawer.steps.remove(arrived)
                self._arrived[arrived] = _from_arrays(*batch) if isinstance(batch, tuple) else batch
        return progressed

    def _end_dead_locked(self, step: int) -> None:
        for drawer in [drawer for drawer in self._workers if step in drawer.steps]:
            drawer.worker.kill()
            self._bury(drawer, Death(f"gave nothing for {self._patience_s:g} s"), awaited=step)

    def _bury(self, drawer: "_Drawer", death: Death, awaited: int | None = None) -> None:
        """Go on without a dead worker; the last one is replaced.

        Args:
            drawer: that is dead.
            death: how it died.
            awaited: the step that was waited for, to blame where its note names none.
        """
        self._workers.remove(drawer)
        step, doing = self._last_work(drawer)
        if step is None and awaited is not None:
            step, doing = awaited, f"it should have drawn step {awaited + 1}"
        if step is not None:
            self._deaths[step] += 1
            may_shrink = death.for_memory and len(self._workers) > 0
            if self._deaths[step] >= ATTEMPTS and not may_shrink:
                raise RunError(_last_words(death, doing))
        if not self._workers:
            self._start()
        left = len(self._workers)
        logger.warning("a loader worker %s while %s; going on with %d", death.cause, doing, left)

    def _last_work(self, drawer: "_Drawer") -> tuple[int | None, str]:
        """The step that a dead worker was busy with, if any, as it was asked for; and that in words.

        The words count steps as the log does, and name the cases that were being read.
        """
        number, cases = drawer.note.read()
        if number is None:
            return (drawer.steps[0] if drawer.steps else None), "starting"
        step = number // self._samples.batch_size
        if step not in drawer.steps:
            return None, "waiting for work"
        return step, f"drawing a sample of step {step + 1} from {' and '.join(cases) or 'some case'}"


class _Drawer:
    """A worker, the steps whose batches it was asked for, in this order, and what it draws."""

    def __init__(self, worker: Worker, note: DrawingNote) -> None:
        self.worker, self.note = worker, note
        self.steps: list[int] = []

    def order(self, step: int) -> None:
        """Ask for a batch; in vain if the worker is dead, which is noticed when the others are looked at."""
        with suppress(ChannelClosedError):
            self.worker.channel.send(step)
            self.steps.append(step)


def draw_batches(channel: Channel, samples: SampleDataset, own: range, note: DrawingNote) -> None:
    """In a worker: draw the batch of each step that comes, until nobody asks any more.

    Args:
        channel: gives steps, takes steps with their batches.
        samples: of the run.
        own: which of each global batch.
        note: of what is being drawn.
    """
    torch.set_num_threads(1)  # the cores belong to the network and to the other workers
    leave_stopping_to_parent()
    samples.source.note = note.add
    while True:
        step = channel.receive()
        channel.send((step, _draw(samples, own, step, note)))


def _draw(samples: SampleDataset, own: range, step: int, note: DrawingNote) -> _Arrays | Failure | Exception:
    drawn = []
    try:
        for number in samples.numbers(step, own):
            note.begin(number)
            drawn.append(samples[number])
        batch = collate(drawn)
    except MemoryError:
        os._exit(OUT_OF_MEMORY_CODE)  # fewer workers may do
    except Exception as problem:
        return portable(problem)
    if isinstance(batch, Failure):
        return batch
    return {name: tensor.numpy() for name, tensor in batch.tensors.items()}, batch.cases, batch.numbers


def _from_arrays(
    arrays: dict[str, NDArray[np.generic]], cases: tuple[str, ...], numbers: dict[str, list[int]]
) -> Batch:
    return Batch({name: torch.from_numpy(array) for name, array in arrays.items()}, cases, numbers)


def _last_words(death: Death, doing: str) -> str:
    what_to_do = (
        "free memory or use fewer workers"
        if death.for_memory
        else "check the files of its case in the cache and their disk, free memory"
    )
    return (
        f"another loader worker {death.cause} while {doing}: {what_to_do}, and run the same command again to "
        "go on"
    )
