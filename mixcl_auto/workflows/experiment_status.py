"""How far an experiment is, read from the files of its runs alone, wherever they are worked on."""

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Literal

from mixcl_auto.io.run_lock import holder
from mixcl_auto.io.runs import read_failure
from mixcl_auto.io.workspace import RunFolder
from mixcl_auto.workflows.experiment_units import GridUnit

State = Literal["waiting", "running", "elsewhere", "stopped", "done", "failed", "blocked", "refused"]
"""``elsewhere``: a process that is not ours works on it; ``stopped``: half-way, and nobody works on it;
``blocked``: its pre-training failed; ``refused``: done, but under another plan or from another encoder."""

IN_WORK: tuple[State, ...] = ("running", "elsewhere")
TO_DO: tuple[State, ...] = ("waiting", "stopped")

_TAIL_BYTES = 4096


@dataclass(frozen=True)
class Entry:
    """A unit and how far it is.

    Attributes:
        unit: the run.
        state: see ``State``.
        step: training steps done.
        seconds_per_step: the median of those measured.
        host: which machine works on it, where that is known.
        note: why it failed or is refused.
        seconds: how long it took, where that is known.
    """

    unit: GridUnit
    state: State
    step: int = 0
    seconds_per_step: float | None = None
    host: str | None = None
    note: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Overview:
    """All units of an experiment.

    Attributes:
        entries: one per unit.
        at_once: how many of them this process had running when it last started one.
    """

    entries: tuple[Entry, ...]
    at_once: int = 0

    def of(self, *states: State) -> tuple[Entry, ...]:
        """The entries in one of these states."""
        return tuple(entry for entry in self.entries if entry.state in states)

    @property
    def seconds_left(self) -> float | None:
        """About how long the rest takes with as many runs at once as now, or as lately.

        From measured seconds per step, and what units that were seen through took beside their steps (to
        start, to score). None where nothing runs or no step was measured.
        """
        pace = _pace(self.entries)
        beside = _seconds_beside_steps(self.entries, pace)
        pending = self.of(*IN_WORK, *TO_DO)
        running = max(len(self.of(*IN_WORK)), self.at_once)
        if not pending or not running or any(entry.unit.is_pretraining not in pace for entry in pending):
            return None
        left = {
            entry.unit.name: max(0, entry.unit.steps - entry.step) * pace[entry.unit.is_pretraining]
            + (beside.get(entry.unit.is_pretraining, 0.0) if entry.state in TO_DO else 0.0)
            for entry in pending
        }
        chains = [left[entry.unit.name] + left.get(entry.unit.needs or "", 0.0) for entry in pending]
        return max(sum(left.values()) / running, *chains)


def read_overview(units: Sequence[GridUnit]) -> Overview:
    """The state of every unit, from its files."""
    return Overview(mark_blocked([look(unit) for unit in units]))


def look(unit: GridUnit) -> Entry:
    """The state of one unit, from its files; who works on it counts as ``elsewhere``.

    The calling process must not work on the unit itself. One whose files can't be read counts as failed.
    """
    folder = unit.folder
    if unit.is_done:
        return measured(Entry(unit, "done"))
    try:
        at_work = holder(folder)
    except OSError as problem:
        return Entry(unit, "failed", note=_unreadable(unit, problem))
    if at_work is not None:
        return measured(Entry(unit, "elsewhere", host=at_work.host))
    if (failure := read_failure(folder)) is not None:
        return measured(Entry(unit, "failed", note=failure.message))
    return measured(Entry(unit, state_at_rest(folder)))


def state_at_rest(folder: RunFolder) -> State:
    """The state of a unit that is to be done and that nobody works on."""
    try:
        started = folder.run.is_file() or folder.log.is_file()
    except OSError:
        started = False
    return "stopped" if started else "waiting"


def measured(entry: Entry) -> Entry:
    """The entry with the steps and the pace that its files tell."""
    folder = entry.unit.folder
    return replace(entry, step=last_step(folder.log), seconds_per_step=typical_seconds(folder.timing))


def mark_blocked(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Units that wait for a pre-training that failed are blocked."""
    entries = tuple(entries)
    failed = {entry.unit.name for entry in entries if entry.state == "failed"}
    return tuple(
        replace(entry, state="blocked") if entry.state in TO_DO and entry.unit.needs in failed else entry
        for entry in entries
    )


def last_step(log: Path) -> int:
    """The last step of a ``log.csv``, from its end; 0 if there is none that can be read."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            whole = file.read().rpartition(b"\n")[0]
    except OSError:
        return 0
    first = whole.rpartition(b"\n")[2].partition(b",")[0]
    return int(first) if first.isdigit() else 0


def typical_seconds(timing: Path) -> float | None:
    """The median of the seconds per step in a ``timing.csv``; absent if there are none that can be read."""
    try:
        with timing.open(encoding="utf-8", errors="replace", newline="") as file:
            seconds = [_number(row.get("seconds")) for row in csv.DictReader(file)]
    except (OSError, csv.Error):
        return None
    known = [value for value in seconds if value is not None]
    return median(known) if known else None


def _unreadable(unit: GridUnit, problem: OSError) -> str:
    return (
        f"{unit.name}: its files can't be read ({problem}); make them readable, or remove {unit.folder.path} "
        "to start it again"
    )


def _number(text: str | None) -> float | None:
    """A cell; the last line may be half-written."""
    try:
        return float(text or "")
    except ValueError:
        return None


def _pace(entries: Iterable[Entry]) -> Mapping[bool, float]:
    """Seconds per step of pre-trainings (True) and fine-tunings (False), where one was measured."""
    found: dict[bool, list[float]] = {}
    for entry in entries:
        if entry.seconds_per_step is not None:
            found.setdefault(entry.unit.is_pretraining, []).append(entry.seconds_per_step)
    return {kind: median(seconds) for kind, seconds in found.items()}


def _seconds_beside_steps(entries: Iterable[Entry], pace: Mapping[bool, float]) -> Mapping[bool, float]:
    """What a unit took to start and to score, by kind as in ``_pace``."""
    found: dict[bool, list[float]] = {}
    for entry in entries:
        kind = entry.unit.is_pretraining
        if entry.seconds is not None and kind in pace:
            found.setdefault(kind, []).append(max(0.0, entry.seconds - entry.unit.steps * pace[kind]))
    return {kind: median(seconds) for kind, seconds in found.items()}
