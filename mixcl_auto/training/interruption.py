"""Stopping a run from outside without losing it."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGALRM)
"""Ctrl-C; what schedulers send to end a job, and before they do; a lost terminal; the end of --max-time."""


class Interruption:
    """A context that turns signals into a flag that the loop reads between two steps.

    A second SIGINT stops at once, like any other program. A signal that is ignored, as ``nohup`` and shells
    have it for programs in the background, stays so. Outside the main thread, where Python takes no signal
    handlers, the flag is never set.
    """

    def __init__(self) -> None:
        self.requested: str | None = None
        """What asked for it: see ``signal_name``."""
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN and not _is_of_others(number):
                    self._before[number] = signal.signal(number, self._note)
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
        self.requested = signal_name(number)


def _is_of_others(number: int) -> bool:
    """Whether no timer runs that could be that of --max-time."""
    return number == signal.SIGALRM and signal.getitimer(signal.ITIMER_REAL)[0] == 0


def signal_name(number: int) -> str:
    """What a user calls a signal: its name, or the option that sends it."""
    return "--max-time" if number == signal.SIGALRM else signal.Signals(number).name


def leave_stopping_to_parent() -> None:
    """In a loader worker: ignore what asks for a stop, but for a second SIGTERM.

    The signals may have been sent to the whole process group. The parent finishes its step and then ends its
    workers.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _allow_the_next_sigterm)


def _allow_the_next_sigterm(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
