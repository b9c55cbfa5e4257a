"""Run tasks in processes of this machine; one that dies or stands still loses its own task alone."""

import logging
import signal
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from multiprocessing.context import SpawnContext
from typing import Any, Generic, TypeVar

from mixcl_auto.engines.cause_of_death import Death, MemoryKiller
from mixcl_auto.engines.channel import Channel, ChannelClosedError, ready_channels
from mixcl_auto.engines.engine import Outcome
from mixcl_auto.engines.worker import Worker, end_workers, portable
from mixcl_auto.errors import RunError

logger = logging.getLogger(__name__)

Task = TypeVar("Task")
Value = TypeVar("Value")

END_PATIENCE_S = 10.0
"""How long tasks may take to finish when the others are not wanted any more."""

_POLL_S = 1.0


@dataclass(frozen=True)
class Work(Generic[Task, Value]):
    """What the workers do.

    Attributes:
        function: of a module, called with one task; idempotent, since it may be run twice.
        name: what to call a task in errors.
        initializer: called once in each worker, before its first task.
        limit_s: how long a task may take before its worker counts as dead-locked.
    """

    function: Callable[[Task], Value]
    name: Callable[[Task], str]
    initializer: Callable[[], object] | None
    limit_s: float


def run_in_workers(
    work: Work[Task, Value], tasks: Sequence[Task], jobs: int
) -> Generator[Outcome[Task, Value], None, None]:
    """Yield every task's outcome as it completes.

    A task whose worker died is run again, alone, when the others are done: the kernel's memory killer takes
    the largest process, not the one to blame. If its worker dies again, the outcome is an error. Every death
    for lack of memory also leaves one worker fewer for the others. A task over its limit is an error at once.
    """
    lost: list[Task] = []
    with closing(_run(work, tasks, jobs)) as outcomes:
        for outcome in outcomes:
            if isinstance(outcome.error, _WorkerDiedError):
                logger.warning("%s: %s", work.name(outcome.task), outcome.error)
                lost.append(outcome.task)
            else:
                yield outcome
    for task in lost:
        with closing(_run(work, [task], 1)) as outcomes:
            for outcome in outcomes:
                yield _final(outcome, work.name(task))


class _WorkerDiedError(Exception):
    """The worker died during the task."""

    def __init__(self, death: Death, jobs_left: int) -> None:
        super().__init__(f"the worker process {death.cause}; the others go on, at most {jobs_left} at once")
        self.death = death


def _final(outcome: Outcome[Task, Value], name: str) -> Outcome[Task, Value]:
    if not isinstance(outcome.error, _WorkerDiedError):
        return outcome
    death = outcome.error.death
    what_to_do = "free memory" if death.for_memory else "check its files, free memory"
    message = (
        f"{name}: the worker process died twice, the second time alone: it {death.cause}; {what_to_do}, and "
        "run the same command again"
    )
    return replace(outcome, error=RunError(message))


def _run(
    work: Work[Task, Value], tasks: Sequence[Task], jobs: int
) -> Generator[Outcome[Task, Value], None, None]:
    """Give idle workers a task each, in order; a death is the outcome of its task."""
    pool = _Pool(work, jobs)
    waiting = list(tasks)[::-1]
    try:
        while waiting or pool.is_busy:
            while waiting and pool.has_room:
                pool.hand_out(waiting.pop())
            yield from pool.collect()
    finally:
        pool.close()


class _Busy(Generic[Task]):
    """A worker, its task if it has one, and for how long."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.tasks: list[Task] = []
        self.seconds = 0.0


class _Pool(Generic[Task, Value]):
    """Up to ``jobs`` workers, started when they are needed."""

    def __init__(self, work: Work[Task, Value], jobs: int) -> None:
        self._work, self._jobs = work, jobs
        self._workers: list[_Busy[Task]] = []
        self._killer = MemoryKiller()

    @property
    def is_busy(self) -> bool:
        return any(busy.tasks for busy in self._workers)

    @property
    def has_room(self) -> bool:
        return sum(len(busy.tasks) for busy in self._workers) < self._jobs

    def hand_out(self, task: Task) -> None:
        """Give the task to an idle worker, or to a new one."""
        busy = next((busy for busy in self._workers if not busy.tasks), None) or self._start()
        busy.tasks, busy.seconds = [task], 0.0
        try:
            busy.worker.channel.send(task)
        except ChannelClosedError:  # noticed when its outcome is waited for
            return

    def collect(self) -> Iterator[Outcome[Task, Value]]:
        """The outcomes that have come within a second, if any."""
        before = time.monotonic()
        self._killer.look()
        channels = ready_channels([busy.worker.channel for busy in self._workers], _POLL_S)
        passed = min(_POLL_S, time.monotonic() - before)  # not more, if all processes were suspended
        for busy in list(self._workers):
            busy.seconds += passed
            if busy.worker.channel in channels:
                yield from self._take(busy)
            elif busy.tasks and busy.seconds > self._work.limit_s:
                yield self._end_dead_locked(busy)

    def close(self) -> None:
        """End the workers."""
        end_workers((busy.worker for busy in self._workers), END_PATIENCE_S)
        self._workers.clear()

    def _start(self) -> "_Busy[Task]":
        # spawned, not forked: this process may have threads (progress, compression) that a fork would freeze
        with _no_ctrl_c():
            worker = Worker(SpawnContext(), do_tasks, (self._work.function, self._work.initializer))
        self._workers.append(_Busy(worker))
        return self._workers[-1]

    def _take(self, busy: "_Busy[Task]") -> Iterator[Outcome[Task, Value]]:
        try:
            value, error = busy.worker.channel.receive()
        except ChannelClosedError:
            death = busy.worker.autopsy(self._killer)
            yield from self._bury(busy, death)
        else:
            yield Outcome(busy.tasks.pop(), value, error)

    def _bury(self, busy: "_Busy[Task]", death: Death) -> Iterator[Outcome[Task, Value]]:
        self._workers.remove(busy)
        if death.for_memory:
            self._jobs = max(1, self._jobs - 1)
        for task in busy.tasks:
            yield Outcome(task, error=_WorkerDiedError(death, self._jobs))

    def _end_dead_locked(self, busy: "_Busy[Task]") -> Outcome[Task, Value]:
        busy.worker.kill()
        self._workers.remove(busy)
        (task,) = busy.tasks
        error = RunError(
            f"{self._work.name(task)}: gave nothing for {self._work.limit_s:g} s, so that its process was "
            "killed; look at its files and their disk, then run the same command again"
        )
        return Outcome(task, error=error)


def do_tasks(
    channel: Channel, function: Callable[[Any], object], initializer: Callable[[], object] | None
) -> None:
    """In a worker: do each task that comes, until nobody gives one any more."""
    if initializer is not None:
        initializer()
    while True:
        task = channel.receive()
        try:
            channel.send((function(task), None))
        except ChannelClosedError:
            raise
        except BaseException as problem:
            channel.send((None, portable(problem)))


@contextmanager
def _no_ctrl_c() -> Iterator[None]:
    """Processes started meanwhile never get SIGINT, also not while they import: it is left to the parent."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
