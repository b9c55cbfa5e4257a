"""How a command ends that is asked to stop: in order, with a message and a code that says "again, please".

A training takes the signals over while it runs, and saves its state first.
"""

import re
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import click

from mixcl_auto.training.interruption import SIGNALS, signal_name

_UNITS_S = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_LONGEST_S = 10 * 365 * 86_400
_LENGTH = re.compile(r"(?=\d)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)")


class StopRequest(KeyboardInterrupt):
    """A signal that asks for a stop came; to libraries it is Ctrl-C, which they know."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def stop_in_order() -> Callable[[], None]:
    """From now on have the signals of ``Interruption`` raise ``StopRequest``, unless they are ignored.

    Returns:
        What gives the signals back.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    before: dict[signal.Signals, Any] = {}
    for number in SIGNALS:
        if number != signal.SIGINT and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, _request)

    def give_back() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    return give_back


def ignore_further_stops() -> None:
    """At the end of the program, whose exit code is settled: a second signal must not change it."""
    for number in SIGNALS:
        if number != signal.SIGINT:
            signal.signal(number, signal.SIG_IGN)


def stop_after(seconds: float) -> None:
    """Ask this process to stop when so much time has passed; the clock's being set does not matter."""
    signal.signal(signal.SIGALRM, _request)  # whoever started this program may have it ignored
    signal.setitimer(signal.ITIMER_REAL, seconds)


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A length of time: ``90m``, ``11h30m``, ``1d``, or as Slurm writes it, ``11:30:00``, ``1-00:00:00``."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The time in seconds."""
        text = str(value).strip().lower()
        parts = _CLOCK.fullmatch(text) or _LENGTH.fullmatch(text)
        amounts = [int(amount or 0) for amount in parts.groups()] if parts else []
        seconds = sum(amount * unit for amount, unit in zip(amounts, _UNITS_S.values(), strict=False))
        if not 0 < seconds <= _LONGEST_S:
            self.fail(f"{value!r} is no length of time; write 90m, 11h30m, 1d or 11:30:00", param, ctx)
        return seconds


def _request(number: int, frame: FrameType | None) -> None:
    raise StopRequest(signal_name(number))
