"""A process that waits for work: it dies alone, and can be ended whatever it is doing."""

import atexit
import os
import pickle
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from multiprocessing import parent_process
from multiprocessing.context import ForkContext, SpawnContext
from typing import Any

from mixcl_auto.engines.cause_of_death import Death, MemoryKiller, describe_death
from mixcl_auto.engines.channel import Channel, ChannelClosedError, channel_pair
from mixcl_auto.errors import RunError

DEATH_PATIENCE_S = 5.0
"""How long a process may take to end after SIGKILL, or after its connection broke."""


class Worker:
    """A process with a connection to it.

    A forked process inherits all open files. It closes those that connect this process to its workers, for a
    worker ends when nobody is at the other end any more: so it does if this process is killed.

    Args:
        context: how to start it.
        work: called there with its end of the connection and the arguments.
        arguments: picklable, if the context says so.
        siblings: workers that were started before.
    """

    def __init__(
        self,
        context: ForkContext | SpawnContext,
        work: Callable[..., None],
        arguments: Sequence[Any],
        siblings: Iterable["Worker"] = (),
    ) -> None:
        self.channel, theirs = channel_pair()
        inherited: list[Channel] = []
        if isinstance(context, ForkContext):
            inherited = [self.channel, *(sibling.channel for sibling in siblings)]
        self._process = context.Process(target=_run, args=(work, theirs, inherited, arguments))
        try:
            self._process.start()
        finally:
            theirs.close()
        # multiprocessing waits at exit for what still runs, and it may wait for ever
        atexit.register(self._process.kill)

    def kill(self) -> None:
        """End it at once: SIGKILL, as a dead-locked process never reads another signal."""
        self._process.kill()
        self._process.join(DEATH_PATIENCE_S)
        self._forget()

    def autopsy(self, killer: MemoryKiller) -> Death:
        """Say how it ended, after its connection broke."""
        self._process.join(DEATH_PATIENCE_S)
        exit_code = self._process.exitcode
        if exit_code is None:
            self.kill()
            return Death("closed its connection")
        self._forget()
        return describe_death(exit_code, killer)

    def _forget(self) -> None:
        atexit.unregister(self._process.kill)
        self.channel.close()

    def wait(self, seconds: float) -> None:
        """Let it end by itself, for that long at most."""
        self._process.join(max(0.0, seconds))


def end_workers(workers: Iterable[Worker], patience_s: float) -> None:
    """End workers: each once it is done with what it does, after a while by SIGKILL.

    Args:
        workers: those that have ended are left alone.
        patience_s: for all together.
    """
    workers = list(workers)
    for worker in workers:
        worker.channel.close()
    deadline = time.monotonic() + patience_s
    try:
        for worker in workers:
            worker.wait(deadline - time.monotonic())
    finally:  # also when the wait is cut short by an interruption
        for worker in workers:
            worker.kill()


def portable(error: BaseException) -> Exception:
    """An error as it can be sent to another process, with its traceback as a note."""
    if not isinstance(error, Exception):
        return RunError(repr(error))
    note = "in a worker process:\n" + "".join(traceback.format_exception(error))
    try:
        copy = pickle.loads(pickle.dumps(error))
    except Exception:
        return RunError(f"{error!r}, {note}")
    copy.add_note(note)
    return copy if isinstance(copy, Exception) else RunError(repr(error))


def _run(
    work: Callable[..., None], channel: Channel, inherited: Sequence[Channel], arguments: Sequence[Any]
) -> None:
    """In the new process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for other in inherited:
        other.close()
    with suppress(ChannelClosedError):
        work(channel, *arguments)


def _end_with_parent() -> None:
    """End with the parent even if it is killed: nobody would collect what an orphan computes."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
