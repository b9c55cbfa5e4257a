"""Stopping a run from outside without losing it."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from mixcl_auto.errors import RunError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class RunStoppedError(RunError):
    """A run was asked to stop, has saved its state and can be resumed by the same command."""


class Interruption:
    """A context that turns SIGINT and SIGTERM into a flag that the loop reads between two steps.

    A second SIGINT stops at once, like any other program. Outside the main thread, where Python takes no
    signal handlers, the flag is never set.
    """

    def __init__(self) -> None:
        self.requested: str | None = None
        """Name of the signal that came."""
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = signal.Signals(number).name


def leave_stopping_to_parent() -> None:
    """In a loader worker: ignore Ctrl-C and the first SIGTERM.

    Both may have been sent to the whole process group. The parent finishes its step and then ends its
    workers, by a second SIGTERM if it must.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _allow_the_next_sigterm)


def _allow_the_next_sigterm(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
