"""A program with its log file as a task: started in a session of its own, ended with whoever started it."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from socket import gethostname
from typing import Any

from mixcl_auto.engines.cause_of_death import signal_name
from mixcl_auto.engines.engine import Outcome
from mixcl_auto.errors import RunError

PYTHON = "<python>"
"""In a command's arguments: the interpreter of the process that starts it, perhaps on another machine."""

PARENT = "<parent>"
"""In a command's arguments: the id of the process that starts it, for ``--tethered``."""

PATIENCE_S = 60.0
"""How long a program that was asked to stop may take to save its state."""

_HEADER = "##### "
_LINES_SHOWN = 20


class CommandError(RunError):
    """A program that ended with an error.

    Attributes:
        code: the exit code; minus the signal's number if a signal ended it.
        log_end: the last lines of what this attempt wrote.
    """

    def __init__(self, message: str, code: int, log_end: str) -> None:
        super().__init__(message)
        self.code = code
        self.log_end = log_end

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.code, self.log_end)


@dataclass(frozen=True)
class Command:
    """A program to run, whose output is appended to a log file.

    The program runs in a new session, so that Ctrl-C reaches only who started it. If that process is killed,
    the program ends itself if it was told its parent, as by ``mixcl_auto --tethered``.
    """

    arguments: tuple[str, ...]
    """The program and its arguments; ``PYTHON`` and ``PARENT`` among them are filled in at the start."""
    log: Path
    name: str
    """For messages."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables beside those of the process that starts it."""

    def run(self) -> None:
        """Run to the end; when interrupted, let the program save its state first.

        Raises:
            CommandError: if the program ends with an error; the message has the end of the log.
        """
        process = self.start()
        try:
            while process.poll() is None:  # a blocking wait would not notice Ray's interruption of a task
                time.sleep(0.1)
        finally:
            stop([process])
        error = self.outcome(process).error
        if error is not None:
            raise error

    def start(self, environment: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
        """Start the program.

        Args:
            environment: more variables, such as the devices that it may use.

        Raises:
            OSError: if the log can't be written, or there is no such program.
        """
        filled = {PYTHON: sys.executable, PARENT: str(os.getpid())}
        arguments = [filled.get(argument, argument) for argument in self.arguments]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a") as log:
            now = datetime.now().astimezone().isoformat(timespec="seconds")
            shown = shlex.join(arguments).replace("\n", "\\n")
            log.write(f"{_HEADER}{now} on {gethostname()}: {shown}\n")
            log.flush()
            return subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **self.environment, **(environment or {})},
            )

    def outcome(self, process: "subprocess.Popen[bytes]") -> Outcome["Command", None]:
        """What became of the program that ``start`` started and that has ended."""
        code = process.wait()
        if code == 0:
            return Outcome(self)
        how = f"was killed by {signal_name(-code)}" if code < 0 else f"ended with code {code}"
        end = _end_of_last_attempt(self.log)
        message = f"{self.name} {how}; the end of {self.log}:\n{end or '(nothing was written)'}"
        return Outcome(self, error=CommandError(message, code, end))


def stop(processes: list["subprocess.Popen[bytes]"], patience_s: float = PATIENCE_S) -> None:
    """End programs: SIGTERM, at which a training saves its state; SIGKILL to what is left after a while.

    Args:
        processes: as ``Command.start`` returned them; those that have ended are left alone.
        patience_s: between the two signals, for all together.
    """
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + patience_s
    try:
        while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:  # also when the wait is cut short by a second interruption
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _end_of_last_attempt(log: Path) -> str:
    """The last lines of a log, none of them from before the last start; empty where the log is gone."""
    lines: deque[str] = deque(maxlen=_LINES_SHOWN)
    with suppress(OSError), log.open(errors="replace") as file:
        for line in file:
            if line.startswith(_HEADER):
                lines.clear()
            else:
                lines.append(line)
    return "".join(lines).rstrip()
