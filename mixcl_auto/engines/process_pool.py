"""Run a function over many tasks on this machine's cores; one bad task never takes the others with it."""

import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import TypeVar

from mixcl_auto.engines.call import Call
from mixcl_auto.engines.engine import Engine, Outcome, Resources
from mixcl_auto.errors import RunError
from mixcl_auto.progress import Progress, Silent

logger = logging.getLogger(__name__)

Task = TypeVar("Task")
Value = TypeVar("Value")


__all__ = ["Outcome", "run_tasks"]

_ONE_CORE = Resources()


def run_tasks(
    function: Callable[[Task], Value],
    tasks: Iterable[Task],
    *,
    jobs: int,
    name: Callable[[Task], str] = str,
    description: str = "tasks",
    done: int = 0,
    progress: Progress | None = None,
    initializer: Callable[[], object] | None = None,
    engine: Engine | None = None,
    resources: Resources = _ONE_CORE,
) -> Iterator[Outcome[Task, Value]]:
    """Yield every task's outcome as it completes.

    A worker that dies (killed, out of memory) leaves open which of the tasks in flight was to blame: each of
    them is run again alone, the guilty one ends with an error that names it, and the others go on.

    Args:
        function: a function of a module, called with one task; idempotent, since it may be run twice.
        tasks: picklable.
        jobs: worker processes; 1 runs everything in this process.
        name: what to call a task in errors and progress.
        description: what to call the whole.
        done: units of the whole that were done before, for the progress.
        progress: told of every completed task.
        initializer: called once in each worker, before its first task.
        engine: runs the tasks instead of this machine's processes; ``jobs`` is then the engine's matter.
        resources: of one task, for the engine.
    """
    tasks = list(tasks)
    progress = progress or Silent()
    progress.start(description, len(tasks) + done, done)
    if engine is not None:
        calls = [Call(function, task, name(task), initializer) for task in tasks]
        outcomes = _through(engine, calls, resources)
    else:
        runner = _in_this_process if jobs <= 1 else _in_workers
        outcomes = runner(function, tasks, min(jobs, len(tasks)), name, initializer)
    try:
        for outcome in outcomes:
            progress.advance(note=name(outcome.task))
            yield outcome
    finally:
        progress.finish()


def _through(
    engine: Engine, calls: list[Call[Task, Value]], resources: Resources
) -> Iterator[Outcome[Task, Value]]:
    """Keep an engine busy, without handing it all tasks at once."""
    waiting, in_flight = deque(calls), 0
    limit = 2 * engine.capacity(resources) if calls else 0
    while waiting or in_flight:
        while waiting and in_flight < limit:
            engine.submit(waiting.popleft(), resources)
            in_flight += 1
        outcome = engine.wait()
        if outcome is None:
            raise RunError(f"{in_flight} tasks were lost: the engine was closed while they ran")
        in_flight -= 1
        yield Outcome(outcome.task.argument, outcome.value, outcome.error)


def _in_this_process(
    function: Callable[[Task], Value],
    tasks: list[Task],
    jobs: int,
    name: Callable[[Task], str],
    initializer: Callable[[], object] | None,
) -> Iterator[Outcome[Task, Value]]:
    if initializer is not None and tasks:
        initializer()
    for task in tasks:
        try:
            yield Outcome(task, value=function(task))
        except Exception as error:
            yield Outcome(task, error=error)


def _in_workers(
    function: Callable[[Task], Value],
    tasks: list[Task],
    jobs: int,
    name: Callable[[Task], str],
    initializer: Callable[[], object] | None,
) -> Iterator[Outcome[Task, Value]]:
    waiting = tasks[::-1]
    while waiting:
        suspects = yield from _until_broken(function, waiting, jobs, initializer)
        if suspects:
            logger.warning("a worker died; running again, one at a time: %s", ", ".join(map(name, suspects)))
        for task in suspects:
            alone = [task]
            if (yield from _until_broken(function, alone, 1, initializer)):
                yield Outcome(task, error=_died(name(task)))


def _until_broken(
    function: Callable[[Task], Value],
    waiting: list[Task],
    jobs: int,
    initializer: Callable[[], object] | None,
) -> Generator[Outcome[Task, Value], None, list[Task]]:
    """Run tasks off the end of ``waiting``; return those in flight when a worker died.

    No more tasks than workers are handed out, so that few are suspects, and memory holds few results.
    """
    # spawned, not forked: the parent may hold threads (progress, compression) that a fork would freeze
    context = get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, initializer=_start_worker, initargs=(initializer,))
    running: dict[Future[Value], Task] = {}
    try:
        while waiting or running:
            if not _hand_out(pool, function, waiting, running, jobs):
                return list(running.values()) or [waiting.pop()]
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                if isinstance(future.exception(), BrokenProcessPool):
                    return list(running.values())
                yield _outcome(running.pop(future), future)
        return []
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(initializer: Callable[[], object] | None) -> None:
    """End with the parent even if it is killed: an orphan would wait for ever."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if initializer is not None:
        initializer()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _hand_out(
    pool: ProcessPoolExecutor,
    function: Callable[[Task], Value],
    waiting: list[Task],
    running: dict[Future[Value], Task],
    jobs: int,
) -> bool:
    """Give idle workers a task each; false if the pool turns out to be broken."""
    while waiting and len(running) < jobs:
        try:
            with _no_ctrl_c():
                running[pool.submit(function, waiting[-1])] = waiting[-1]
        except BrokenProcessPool:
            return False
        waiting.pop()
    return True


@contextmanager
def _no_ctrl_c() -> Iterator[None]:
    """Processes started meanwhile never get SIGINT, also not while they import: it is left to the parent."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _outcome(task: Task, future: Future[Value]) -> Outcome[Task, Value]:
    error = future.exception()
    if error is None:
        return Outcome(task, value=future.result())
    return Outcome(task, error=error if isinstance(error, Exception) else RunError(repr(error)))


def _died(task_name: str) -> RunError:
    return RunError(
        f"{task_name}: the worker process died without a message (killed, perhaps for lack of memory); "
        "run again with fewer jobs"
    )
