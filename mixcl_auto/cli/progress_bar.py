"""Progress on stderr: a bar with rate and time left on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
import rich.progress
from rich.console import Console

from mixcl_auto.progress import Progress, Silent

LEAST_SECONDS_BETWEEN = 1.0


def open_progress() -> Progress:
    """The progress that suits where stderr goes."""
    return Unheard(BarProgress() if sys.stderr.isatty() else LineProgress())


class Unheard:
    """Passes a progress on as long as it can be shown: a terminal that is gone ends no training.

    Args:
        shown: fails with ``OSError`` once its terminal or pipe is closed; from then on it is left alone.
    """

    def __init__(self, shown: Progress) -> None:
        self._shown: Progress = shown

    def start(self, description: str, total: int, done: int = 0) -> None:
        """Pass it on."""
        with self._giving_up():
            self._shown.start(description, total, done)

    def advance(self, units: int = 1, note: str = "") -> None:
        """Pass it on."""
        with self._giving_up():
            self._shown.advance(units, note)

    def finish(self) -> None:
        """Pass it on."""
        with self._giving_up():
            self._shown.finish()

    @contextmanager
    def _giving_up(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self._shown = Silent()


class BarProgress:
    """A bar drawn by rich; it stays when finished."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bar: rich.progress.Progress | None = None
        self._rate = Rate(time.monotonic)

    def start(self, description: str, total: int, done: int = 0) -> None:
        """Draw a new bar; one that is still open is ended."""
        self.finish()
        self._rate.start(total, done)
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.fields[rate]}"),
            rich.progress.TextColumn("{task.fields[note]}"),
            console=self._console,
        )
        self._bar.add_task(description, total=total, completed=done, note="", rate="")
        self._bar.start()

    def advance(self, units: int = 1, note: str = "") -> None:
        """Move the bar."""
        if self._bar is None:
            return
        task = self._bar.tasks[0]
        self._rate.advance(units)
        self._bar.update(task.id, advance=units, rate=self._rate.text(), note=note or task.fields["note"])

    def finish(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class LineProgress:
    """A line at every tenth of the work and at least every 30 seconds; fit for a log file."""

    def __init__(
        self,
        write: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        seconds_between: float = 30.0,
    ) -> None:
        self._write = write or (lambda line: click.echo(line, err=True))
        self._clock = clock
        self._seconds_between = seconds_between
        self._rate = Rate(clock)
        self._description = ""
        self._tenth, self._last_line = 0, 0.0

    def start(self, description: str, total: int, done: int = 0) -> None:
        """Say what begins."""
        self._description = description
        self._rate.start(total, done)
        self._tenth, self._last_line = self._rate.tenth(), self._clock()
        self._write(f"{description}: {total}" + (f", {done} already done" if done else ""))

    def advance(self, units: int = 1, note: str = "") -> None:
        """Say how far it is, if that is due."""
        self._rate.advance(units)
        now, tenth = self._clock(), self._rate.tenth()
        silent = now - self._last_line
        ended = self._rate.done >= self._rate.total
        due = tenth > self._tenth and (silent >= LEAST_SECONDS_BETWEEN or ended)
        if due or silent >= self._seconds_between:
            self._tenth, self._last_line = tenth, now
            parts = [f"{self._description}: {self._rate.done}/{self._rate.total}", self._rate.text(), note]
            self._write(", ".join(part for part in parts if part))

    def finish(self) -> None:
        """Nothing is left to say."""


class Rate:
    """Units per second since the start, not counting those that were there before, and the time left."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.start(0, 0)

    def start(self, total: int, done: int) -> None:
        """Begin to count."""
        self.total, self.done, self._before = total, done, done
        self._began = self._clock()

    def advance(self, units: int) -> None:
        """Count units."""
        self.done += units

    def tenth(self) -> int:
        """How many tenths of the work are done, from 0 to 10."""
        return 10 * self.done // self.total if self.total else 10

    def text(self) -> str:
        """Such as ``2.1/s, 3 min left`` or, when slow, ``4.2 s each, 10 min left``."""
        seconds, fresh = self._clock() - self._began, self.done - self._before
        if fresh <= 0 or seconds <= 0:
            return ""
        rate = fresh / seconds
        speed = f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"
        left = max(0, self.total - self.done) / rate
        return f"{speed}, {duration(left)} left" if left else f"{speed}, {duration(seconds)} in all"


def duration(seconds: float) -> str:
    """A length of time in the unit that suits it: ``40 s``, ``3 min``, ``2 h 05 min``."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
