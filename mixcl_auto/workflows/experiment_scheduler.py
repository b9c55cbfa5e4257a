"""Which unit runs when: pre-trainings first, each unit once, what failed again, nothing that others do."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from socket import gethostname
from typing import Any, Protocol

from mixcl_auto.engines.engine import Engine, Outcome, Resources, Task
from mixcl_auto.errors import RESUME_CODE, MixCLError, RunError
from mixcl_auto.io.files import write_text
from mixcl_auto.io.run_lock import says_refused
from mixcl_auto.records.failure import Failure
from mixcl_auto.workflows.experiment_order import in_order, own_turn
from mixcl_auto.workflows.experiment_status import (
    TO_DO,
    Entry,
    Overview,
    look,
    mark_blocked,
    measured,
    state_at_rest,
)
from mixcl_auto.workflows.experiment_units import GridUnit

logger = logging.getLogger(__name__)

TICK_S = 1.0
"""How often a stop is noticed and watchers are told."""
LOOK_AGAIN_S = 5.0
"""How often it is looked at whether units that others work on are done, or free again."""
SETTLING_S = 5.0
"""How long a network file system may take to show the files of a run that ended without an error."""


class Watcher(Protocol):
    """Who shows how far an experiment is."""

    def changed(self, entry: Entry, overview: Overview) -> None:
        """A unit has another state; ``note`` says why where it failed."""

    def tick(self, overview: Overview) -> None:
        """About a second has passed."""


class Unwatched:
    """Nobody looks."""

    def changed(self, entry: Entry, overview: Overview) -> None:
        """Ignore it."""

    def tick(self, overview: Overview) -> None:
        """Ignore it."""


@dataclass(frozen=True)
class _Ended:
    """A task that has ended; its files say what that means."""

    error: Exception | None
    seconds: float
    at: float
    """By the monotonic clock."""


class Scheduler:
    """Carries out the units of an experiment on an engine, as their files allow.

    What is done is skipped. A unit that another process works on is left to it and looked at again, so that
    several experiments on one folder share the work. A unit that ends without being done is tried again; what
    goes wrong with one never ends the others.
    """

    def __init__(
        self,
        units: Sequence[GridUnit],
        engine: Engine,
        *,
        task_of: Callable[[GridUnit], Task[Any]],
        resources_of: Callable[[GridUnit], Resources],
        retries: int = 2,
        watcher: Watcher | None = None,
        tick_s: float = TICK_S,
        look_again_s: float = LOOK_AGAIN_S,
        settling_s: float = SETTLING_S,
        turn: int | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Look at the files of all units.

        Args:
            units: with the pre-trainings that others need.
            engine: opened and closed by the caller.
            task_of: what carries out a unit, under the unit's name.
            resources_of: what it takes up.
            retries: how often a unit is tried again.
            watcher: told of every change.
            tick_s: see ``TICK_S``.
            look_again_s: see ``LOOK_AGAIN_S``.
            settling_s: see ``SETTLING_S``.
            turn: with which of equal units to begin; another one in every process, if absent.
            pause: waits while nothing of our own runs.

        Raises:
            RunError: if the engine can never run one of the units.
        """
        self._units = {unit.name: unit for unit in units}
        self._engine, self._task_of, self._resources_of = engine, task_of, resources_of
        self._retries, self._watcher = retries, watcher or Unwatched()
        self._tick_s, self._look_again_s, self._settling_s = tick_s, look_again_s, settling_s
        self._pause = pause
        self._entries = {unit.name: _fresh(look(unit)) for unit in units}
        self._order = in_order(self._entries.values(), own_turn() if turn is None else turn)
        self._attempts = dict.fromkeys(self._units, 0)
        self._began: dict[str, float] = {}
        """Of the units in flight."""
        self._ended: dict[str, _Ended] = {}
        """Of those whose files are still awaited."""
        self._at_once = 0
        self._waits_for_engine = False
        self._looked = time.monotonic()
        self._capacities: dict[Resources, int] = {}
        for entry in self._overview().of("elsewhere", *TO_DO):
            self._capacity(entry.unit)

    def run(self, stopped: Callable[[], bool] = lambda: False) -> Overview:
        """Go on until nothing is left to do, or until it is stopped; what then runs is the engine's to end.

        Returns:
            The state of every unit.
        """
        while not stopped():
            self._look_elsewhere()
            self._block()
            self._submit(stopped)
            if not self._overview().of("running", "elsewhere", *TO_DO):
                break
            self._take(self._next_outcome())
            for name in self._began:
                self._entries[name] = measured(self._entries[name])
            self._watcher.tick(self._overview())
        return self._overview()

    def _next_outcome(self) -> Outcome[Any, Any] | None:
        if self._began:
            return self._engine.wait(self._tick_s)
        self._pause(self._tick_s)
        return None

    def _submit(self, stopped: Callable[[], bool]) -> None:
        """Hand out what is ready while there is room; nothing overtakes what does not fit."""
        for unit in self._order:
            if stopped() or not self._is_ready(unit):
                continue
            try:
                if not self._start(unit):
                    return
            except (OSError, MixCLError) as problem:
                self._count_attempt(unit, look(unit), f"{unit.name} can't be started: {problem}")

    def _start(self, unit: GridUnit) -> bool:
        """Hand a unit out, unless its files say that there is no need to; false if there is no room."""
        if not self._fits(unit):
            return False
        seen = _fresh(look(unit))
        if seen.state not in TO_DO:
            self._change(seen)
            return True
        unit.folder.failure.unlink(missing_ok=True)
        task = self._task_of(unit)
        try:
            self._engine.submit(task, self._resources_of(unit))
        except RunError as problem:  # it could once: a node has gone since, and may come back
            if not self._waits_for_engine:
                logger.warning("runs wait for the engine: %s", problem)
            self._waits_for_engine = True
            return False
        self._waits_for_engine = False
        self._began[unit.name] = time.monotonic()
        self._at_once = len(self._began)
        self._change(replace(seen, state="running"))
        return True

    def _is_ready(self, unit: GridUnit) -> bool:
        if self._entries[unit.name].state not in TO_DO:
            return False
        return unit.needs is None or self._entries[unit.needs].state == "done"

    def _fits(self, unit: GridUnit) -> bool:
        """Whether there is room beside what is in flight, each unit taking its share of the engine."""
        taken = sum(1 / self._capacity(self._units[name]) for name in self._began)
        return taken + 1 / self._capacity(unit) <= 1 + 1e-9

    def _capacity(self, unit: GridUnit) -> int:
        """How many such units run at once; what it was last, while a cluster has no node for them."""
        resources = self._resources_of(unit)
        try:
            self._capacities[resources] = self._engine.capacity(resources)
        except RunError:
            if resources not in self._capacities:
                raise
        return self._capacities[resources]

    def _take(self, outcome: Outcome[Any, Any] | None) -> None:
        if outcome is not None:
            name, now = outcome.task.name, time.monotonic()
            self._ended[name] = _Ended(outcome.error, now - self._began.pop(name), now)
        for name, ended in list(self._ended.items()):
            if self._judge(self._units[name], ended):
                del self._ended[name]

    def _judge(self, unit: GridUnit, ended: _Ended) -> bool:
        """Let the files say whether a unit is done, whatever its process said; false if not yet."""
        seen = look(unit)
        if seen.state in ("done", "elsewhere"):
            self._change(replace(seen, seconds=ended.seconds if seen.state == "done" else None))
        elif ended.error is not None and says_refused(str(ended.error)):
            self._change(replace(seen, state="elsewhere", note=""))  # a moment ago: look again later
        elif getattr(ended.error, "code", None) == RESUME_CODE:  # stopped by others; its state is saved
            self._change(replace(seen, state=state_at_rest(unit.folder), note=""))
        elif ended.error is None and time.monotonic() - ended.at < self._settling_s:
            return False
        else:
            self._count_attempt(unit, seen, str(ended.error or seen.note or _unfinished(unit)))
        return True

    def _count_attempt(self, unit: GridUnit, seen: Entry, message: str) -> None:
        """A unit was tried in vain: it is tried again, or has failed."""
        self._attempts[unit.name] += 1
        attempts = self._attempts[unit.name]
        if attempts <= self._retries:
            again = f"{message}\nattempt {attempts} of {self._retries + 1}; it will be tried again"
            self._change(replace(seen, state=state_at_rest(unit.folder), note=again))
            return
        now = datetime.now(UTC).isoformat(timespec="seconds")
        failure = Failure(attempts=attempts, host=gethostname(), at=now, message=message)
        with suppress(OSError):  # where the folder is what fails, the message is shown at least
            write_text(unit.folder.failure, failure.to_json())
        self._change(replace(seen, state="failed", note=message))

    def _look_elsewhere(self) -> None:
        now = time.monotonic()
        if now - self._looked < self._look_again_s:
            return
        self._looked = now
        for entry in self._overview().of("elsewhere"):
            seen = _fresh(look(entry.unit))
            if seen.state != "elsewhere":
                self._change(seen)
            else:
                self._entries[entry.unit.name] = seen

    def _block(self) -> None:
        for entry in mark_blocked(self._entries.values()):
            if entry.state != self._entries[entry.unit.name].state:
                self._change(entry)

    def _change(self, entry: Entry) -> None:
        self._entries[entry.unit.name] = entry
        self._watcher.changed(entry, self._overview())

    def _overview(self) -> Overview:
        return Overview(tuple(self._entries.values()), self._at_once)


def _fresh(entry: Entry) -> Entry:
    """A unit that was given up before gets another chance."""
    if entry.state != "failed":
        return entry
    return replace(entry, state=state_at_rest(entry.unit.folder), note="")


def _unfinished(unit: GridUnit) -> str:
    return (
        f"{unit.name} ended without an error and is not finished; see {unit.folder.output}, or remove "
        f"{unit.folder.path} to start it again"
    )
