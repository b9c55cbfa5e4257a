"""What ``experiment`` shows: one table of states, live on a terminal; a line per change elsewhere."""

import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import click
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mixcl_auto.cli.progress_bar import duration
from mixcl_auto.cli.tables import PLAIN_WIDTH, counted
from mixcl_auto.records.failure import first_line
from mixcl_auto.workflows.experiment_scheduler import Watcher
from mixcl_auto.workflows.experiment_status import IN_WORK, Entry, Overview, State

_LINES_BESIDE_ROWS = 7
"""Head, footer and margins of the table."""
_WORDS: dict[State, str] = {
    "running": "running",
    "elsewhere": "running elsewhere",
    "failed": "failed",
    "blocked": "blocked",
    "refused": "of another plan or encoder",
    "stopped": "stopped half-way",
    "waiting": "waiting",
}


class LiveTable(Watcher):
    """The table of states, redrawn in place on a terminal; a context."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def changed(self, entry: Entry, overview: Overview) -> None:
        """Redraw; a failure also stays above the table."""
        if entry.note:
            self._console.print(Text(first_line(entry.note)))
        self.tick(overview)

    def tick(self, overview: Overview) -> None:
        """Redraw."""
        table = draw(overview, most_rows=self._console.height - _LINES_BESIDE_ROWS)
        self._live.update(table, refresh=True)


class Lines(Watcher):
    """A line per change of state; fit for a log file."""

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        self._write = write or (lambda line: click.echo(line, err=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        pass

    def changed(self, entry: Entry, overview: Overview) -> None:
        """Say what happened."""
        self._write(describe_change(entry, overview))

    def tick(self, overview: Overview) -> None:
        """Nothing new."""


def open_watcher() -> LiveTable | Lines:
    """The view that suits where stderr goes."""
    return LiveTable() if sys.stderr.isatty() else Lines()


def describe_change(entry: Entry, overview: Overview) -> str:
    """One line on a unit that has another state."""
    name = entry.unit.name
    if entry.state == "done":
        took = "" if entry.seconds is None else f" ({duration(entry.seconds)})"
        return f"done: {name}{took}; {summarise(overview)}"
    if entry.state == "running":
        return f"running{' again' if entry.step else ''}: {name}"
    if entry.state == "elsewhere":
        return f"running elsewhere: {name}" + (f", on {entry.host}" if entry.host else "")
    if entry.state == "failed":
        return f"failed: {first_line(entry.note)}"
    if entry.state == "blocked":
        return f"blocked: {name}, since {entry.unit.needs} failed"
    if entry.note:
        return f"failed, tried again: {first_line(entry.note)}"
    return f"free again: {name}"


def summarise(overview: Overview) -> str:
    """Such as ``5 of 24 done, 2 running, about 40 min left``."""
    parts = [f"{len(overview.of('done'))} of {len(overview.entries)} done"]
    parts += [f"{len(found)} {word}" for state, word in _WORDS.items() if (found := overview.of(state))]
    left = overview.seconds_left
    return ", ".join([*parts, f"about {duration(left)} left"] if left else parts)


def report_failures(overview: Overview) -> str:
    """What failed, each with the end of its log, and what that kept from being done; empty if nothing did."""
    failed, blocked = overview.of("failed"), overview.of("blocked")
    if not failed:
        return ""
    head = f"{len(failed)} of {counted(len(overview.entries), 'run')} failed"
    head += f", {len(blocked)} could not start for want of a pre-training" if blocked else ""
    return "\n\n".join([f"{head}; the same command tries them again", *(entry.note for entry in failed)])


def print_overview(overview: Overview) -> None:
    """The table on stdout, and where to read why something failed."""
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    console.print(draw(overview))
    for entry in overview.of("failed"):
        console.print(Text(first_line(entry.note)), soft_wrap=True)
    if refused := overview.of("refused"):
        console.print(Text(f"`experiment` stops at {refused[0].note}"), soft_wrap=True)


def draw(overview: Overview, most_rows: int | None = None) -> Group:
    """A row per arm, with a footer; of too many arms, quiet ones are left out."""
    arms: dict[tuple[str, ...], list[Entry]] = {}
    for entry in overview.entries:
        arms.setdefault(entry.unit.arm, []).append(entry)
    shown = _most_telling(list(arms.values()), most_rows)
    table = Table(box=box.SIMPLE_HEAD, expand=True, padding=(0, 1, 0, 0))
    for title, most in (("run", 30), ("init", 17), ("labels", 7)):
        table.add_column(title, overflow="fold", max_width=most)
    table.add_column("done", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True, overflow="ellipsis", ratio=1)
    for entries in shown:
        done = sum(entry.state == "done" for entry in entries)
        names = (*entries[0].unit.arm, "", "")[:3]
        table.add_row(*map(Text, names), f"{done}/{len(entries)}", Text(_arm_state(entries)))
    hidden = len(arms) - len(shown)
    note = [Text(f" and {counted(hidden, 'more row')} done or waiting")] if hidden else []
    return Group(table, *note, Text(f" {summarise(overview)}"))


def _most_telling(arms: Sequence[list[Entry]], most: int | None) -> list[list[Entry]]:
    """All arms, or of too many first those where something happens, in their order."""
    if most is None or len(arms) <= most:
        return list(arms)
    quiet = [{entry.state for entry in arm} <= {"done", "waiting", "blocked"} for arm in arms]
    finished = [all(entry.state == "done" for entry in arm) for arm in arms]
    order = sorted(range(len(arms)), key=lambda number: (quiet[number], finished[number], number))
    return [arms[number] for number in sorted(order[: max(1, most)])]


def _arm_state(entries: Sequence[Entry]) -> str:
    """What happens in an arm: problems first, then its running units one by one; the others are counted."""
    if all(entry.state == "done" for entry in entries):
        return "done"
    counted_states: tuple[State, ...] = ("failed", "blocked", "refused", "stopped", "waiting")
    counts = {state: sum(entry.state == state for entry in entries) for state in counted_states}
    words = {
        state: _WORDS[state] if len(entries) == 1 else f"{number} {_WORDS[state]}"
        for state, number in counts.items()
        if number
    }
    problems = [words.pop(state) for state in ("failed", "blocked", "refused") if state in words]
    at_work = [_running(entry) for entry in entries if entry.state in IN_WORK]
    return ", ".join([*problems, *at_work, *words.values()])


def _running(entry: Entry) -> str:
    steps = f"{entry.step}/{entry.unit.steps}"
    words = [entry.unit.part or "running", steps if entry.step < entry.unit.steps else "scoring"]
    return " ".join([*words, f"on {entry.host}"] if entry.host else words)
