"""Commands that are killed at a moment drawn at random, and started again until they are done."""

import faulthandler
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline_runs import Stage, arguments

from mixcl_auto.errors import RESUME_CODE

Way = Literal["process", "session", "worker", "SIGTERM", "SIGUSR1"]
WAYS: tuple[Way, ...] = ("process", "process", "session", "session", "worker", "SIGTERM", "SIGUSR1")
"""SIGKILL to the command alone, as by hand; to all of its processes, as when a machine fails; to one of its
workers, as the kernel does when memory runs out; and what schedulers send."""

PATIENCE_S = 60.0
LIMIT_S = 900.0
"""How long a command may take before it counts as hanging; it then says where it hangs."""


@dataclass(frozen=True)
class Attempt:
    """One start of a command.

    Attributes:
        stage: of the pipeline.
        way: how it was killed; none where it came to its end first.
        seconds: that it took.
        code: exit code; minus the signal's number if a signal ended it.
        said: its output.
        orphans: processes of it that were left a minute after its end.
    """

    stage: str
    way: Way | None
    seconds: float
    code: int
    said: str
    orphans: int

    @property
    def is_sound(self) -> bool:
        """Whether it ended as it must: killed, stopped in order, or done."""
        if self.orphans or (self.way is None and self.code != 0):
            return False
        return self.code in (0, RESUME_CODE, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGUSR1)


def fork(workspace: Path, stage: Stage, log: Path) -> int:
    """Start a command in a copy of this process, which has the libraries loaded; gives its id."""
    workspace.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        faulthandler.enable()
        os.setsid()
        os.chdir(workspace)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        from mixcl_auto.cli.main import main

        sys.argv = ["mixcl_auto", *arguments(workspace, stage)]
        try:
            main()
            code = 0
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else int(bool(ending.code))
    finally:
        os._exit(code)


def attempt(workspace: Path, stage: Stage, draw: random.Random, seconds: float) -> Attempt:
    """Start a command and kill it within so many seconds, unless it is done before.

    Args:
        workspace: where it works.
        stage: the command.
        draw: of the way and the moment.
        seconds: the latest moment; the command is left alone where it is 0.
    """
    log = workspace.with_name(f"{workspace.name}.log")
    began = time.monotonic()
    process = fork(workspace, stage, log)
    way = None
    if seconds > 0:
        chosen = draw.choice(WAYS)
        if not _ended(process, draw.uniform(0, seconds)):
            way = chosen if _kill(process, chosen, draw) else None
    if not _ended(process, LIMIT_S):
        os.kill(process, signal.SIGABRT)
    _, status = os.waitpid(process, 0)
    took = time.monotonic() - began
    orphans = _orphans(process)
    said = log.read_text(errors="replace") if log.exists() else ""
    return Attempt(stage.name, way, took, os.waitstatus_to_exitcode(status), said, orphans)


def _ended(process: int, seconds: float) -> bool:
    """Wait so long for a child; it can be waited for again."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return True
        time.sleep(0.01)
    return False


def _kill(process: int, way: Way, draw: random.Random) -> bool:
    """Kill; false where there was no worker to kill."""
    if way == "process":
        os.kill(process, signal.SIGKILL)
    elif way == "session":
        for other in _session(process):
            _send(other, signal.SIGKILL)
    elif way == "worker":
        workers = [other for other in _session(process) if other != process]
        if not workers:
            return False
        _send(draw.choice(workers), signal.SIGKILL)
    else:
        os.kill(process, signal.Signals[way])
    return True


def _send(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


def _session(leader: int) -> list[int]:
    """The living processes of a session, the leader's descendants; looks in /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] not in "ZX":
            found.append(int(entry.name))
    return found


def _orphans(leader: int, patience_s: float = PATIENCE_S) -> int:
    """How many processes outlive their command by more than a minute; they are ended."""
    deadline = time.monotonic() + patience_s
    while (left := _session(leader)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in left:
        _send(process, signal.SIGKILL)
    return len(left)


def until_done(
    workspace: Path,
    stage: Stage,
    draw: random.Random,
    seconds: float,
    *,
    kills: int,
    told: Callable[[Attempt], None] = lambda attempt: None,
) -> list[Attempt]:
    """Start a command again and again, killed so many times at most, until it is done.

    Raises:
        AssertionError: if it ends otherwise than it must.
    """
    attempts: list[Attempt] = []
    while not attempts or attempts[-1].code != 0:
        killed = sum(one.way is not None for one in attempts)
        made = attempt(workspace, stage, draw, seconds if killed < kills else 0.0)
        attempts.append(made)
        told(made)
        assert made.is_sound, f"{made.stage}, killed by {made.way}: code {made.code}\n{made.said}"
    return attempts
