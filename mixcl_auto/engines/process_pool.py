"""Run a function over many tasks on this machine's cores; one bad task never takes the others with it."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import TypeVar

from mixcl_auto.engines.call import Call
from mixcl_auto.engines.engine import Engine, Outcome, Resources
from mixcl_auto.engines.task_workers import Work, run_in_workers
from mixcl_auto.errors import RunError
from mixcl_auto.progress import Progress, Silent

Task = TypeVar("Task")
Value = TypeVar("Value")


__all__ = ["Outcome", "run_tasks"]

LIMIT_S = 3600.0
"""How long a task may take before its worker counts as dead-locked."""

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
    limit_s: float = LIMIT_S,
) -> Iterator[Outcome[Task, Value]]:
    """Yield every task's outcome as it completes.

    A task whose worker dies (killed, out of memory) is run again alone when the others are done; if that
    worker dies too, the task's outcome is an error with the cause. So it is, at once, for a task over its
    limit.

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
        limit_s: how long a task in a worker process may take before that counts as dead-locked and is killed.
    """
    tasks = list(tasks)
    progress = progress or Silent()
    progress.start(description, len(tasks) + done, done)
    if engine is not None:
        calls = [Call(function, task, name(task), initializer) for task in tasks]
        outcomes = _through(engine, calls, resources)
    elif jobs <= 1:
        outcomes = _in_this_process(function, tasks, initializer)
    else:
        outcomes = run_in_workers(Work(function, name, initializer, limit_s), tasks, min(jobs, len(tasks)))
    try:
        with closing(outcomes):
            for outcome in outcomes:
                progress.advance(note=name(outcome.task))
                yield outcome
    finally:
        progress.finish()


def _through(
    engine: Engine, calls: list[Call[Task, Value]], resources: Resources
) -> Generator[Outcome[Task, Value], None, None]:
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
    function: Callable[[Task], Value], tasks: list[Task], initializer: Callable[[], object] | None
) -> Generator[Outcome[Task, Value], None, None]:
    if initializer is not None and tasks:
        initializer()
    for task in tasks:
        try:
            yield Outcome(task, value=function(task))
        except Exception as error:
            yield Outcome(task, error=error)
