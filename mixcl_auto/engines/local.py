"""The engine on this machine: programs side by side, as its cores and devices allow."""

import subprocess
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mixcl_auto.engines.command import Command, stop
from mixcl_auto.engines.engine import Engine, Outcome, Resources, Task
from mixcl_auto.engines.slots import Slots
from mixcl_auto.errors import RunError

_POLL_S = 0.1


@dataclass(frozen=True)
class _Running:
    """A program that was started, and what it takes up."""

    command: Command
    process: "subprocess.Popen[bytes]"
    resources: Resources
    devices: tuple[str, ...]


class LocalEngine(Engine):
    """Starts commands in the order of their submission, each as soon as what it needs is free.

    A command is never overtaken, so that one that needs much is not starved by small ones. Memory is not
    looked at. Nothing happens but in ``wait``: no threads.
    """

    def __init__(self, *, cores: int, jobs: int | None = None, devices: Sequence[str] = ()) -> None:
        """Start nothing yet.

        Args:
            cores: for the threads of all tasks together.
            jobs: tasks at once at most; no limit but the others', if absent.
            devices: ids as in ``CUDA_VISIBLE_DEVICES``, by which a task is shown its own, or none of them.
        """
        self._slots = Slots(cores, jobs, devices)
        self._has_devices = bool(devices)
        self._waiting: deque[tuple[Command, Resources]] = deque()
        self._running: list[_Running] = []
        self._failed: deque[Outcome[Command, None]] = deque()

    def submit(self, task: Task[Any], resources: Resources) -> None:
        """Take a command into the queue.

        Raises:
            RunError: if the machine lacks the devices.
            TypeError: if the task is no command.
        """
        if not isinstance(task, Command):
            raise TypeError(f"{task.name}: the local engine runs a Command, got {type(task).__name__}")
        self.capacity(resources)
        self._waiting.append((task, resources))

    def wait(self, seconds: float | None = None) -> Outcome[Any, Any] | None:
        """The next result; nothing when the time is up, or when no command is left."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            self._start_fitting()
            if (outcome := self._next_outcome()) is not None:
                return outcome
            left = _POLL_S if deadline is None else deadline - time.monotonic()
            if not (self._running or self._waiting) or left <= 0:
                return None
            time.sleep(min(_POLL_S, left))

    def close(self, patience_s: float = 30.0) -> None:
        """Stop what runs: SIGTERM, at which a training saves its state; SIGKILL when it takes too long."""
        self._waiting.clear()
        running, self._running = self._running, []
        stop([one.process for one in running], patience_s)
        for one in running:
            self._slots.give_back(one.resources, one.devices)

    def capacity(self, resources: Resources) -> int:
        """How many commands of such resources run at once; one with too many threads runs alone.

        Raises:
            RunError: if there are too few devices.
        """
        return self._slots.capacity(resources)

    def _start_fitting(self) -> None:
        while self._waiting:
            command, resources = self._waiting[0]
            devices = self._slots.take(resources)
            if devices is None:
                return
            self._waiting.popleft()
            visible = {"CUDA_VISIBLE_DEVICES": ",".join(devices)} if self._has_devices else {}
            try:
                process = command.start(visible)
            except OSError as problem:
                self._slots.give_back(resources, devices)
                error = RunError(f"{command.name}: can't be started: {problem}")
                self._failed.append(Outcome(command, error=error))
                continue
            self._running.append(_Running(command, process, resources, devices))

    def _next_outcome(self) -> Outcome[Command, None] | None:
        if self._failed:
            return self._failed.popleft()
        for one in self._running:
            if one.process.poll() is not None:
                self._running.remove(one)
                self._slots.give_back(one.resources, one.devices)
                return one.command.outcome(one.process)
        return None
