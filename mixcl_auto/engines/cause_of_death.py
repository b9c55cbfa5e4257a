"""Say why a process ended that should not have: by which signal, and whether for lack of memory."""

import signal
import time
from dataclasses import dataclass
from pathlib import Path

OUT_OF_MEMORY_CODE = 77
"""With which a worker ends itself when an allocation fails in it."""


@dataclass(frozen=True)
class Death:
    """How a process ended.

    Attributes:
        cause: goes on after the process's name: "was killed by SIGKILL".
        for_memory: whether that was surely for lack of memory.
    """

    cause: str
    for_memory: bool = False


class MemoryKiller:
    """Watches the kernel's memory killer, which sends SIGKILL to a process of its choice.

    Linux counts its victims in the control group of this process, else on the whole machine.

    Args:
        counter: the file with their number.
        recent_s: how long a process may need to die of it; what lies further back is not to blame.
    """

    def __init__(self, counter: Path | None = None, recent_s: float = 30.0) -> None:
        self._counter = victims_file() if counter is None else counter
        self._recent_s = recent_s
        self._explained = self._seen = self._victims() or 0
        self._seen_at = time.monotonic()

    def look(self) -> None:
        """Look now and then, so that victims of long ago are not taken for a process that has just died."""
        now = time.monotonic()
        if now - self._seen_at >= self._recent_s:
            self._explained = max(self._explained, self._seen)
            self._seen, self._seen_at = self._victims() or 0, now

    def has_struck(self) -> bool | None:
        """Whether it has a recent victim that is not explained yet; one is now. Absent if unknown."""
        victims = self._victims()
        if victims is None:
            return None
        if victims <= self._explained:
            return False
        self._explained += 1
        return True

    def _victims(self) -> int | None:
        try:
            lines = self._counter.read_text().splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)


def victims_file(root: Path = Path("/sys/fs/cgroup"), process: Path = Path("/proc/self/cgroup")) -> Path:
    """The file with the number of the memory killer's victims, of the smallest group that has one.

    Args:
        root: where control groups are mounted, of version 2 or 1.
        process: tells the groups of this process. Within a container its own are mounted as the root.
    """
    version_1, version_2 = "memory.oom_control", "memory.events"
    try:
        groups = [line.split(":", 2)[1:] for line in process.read_text().splitlines()]
    except OSError:
        groups = []
    files = []
    for controllers, path in groups:
        if "memory" in controllers.split(","):
            files += [root / "memory" / path.strip("/") / version_1, root / "memory" / version_1]
        elif not controllers:
            files += [root / path.strip("/") / version_2, root / version_2]
    return next((file for file in files if file.is_file()), Path("/proc/vmstat"))


def describe_death(exit_code: int, killer: MemoryKiller) -> Death:
    """Say how a process ended.

    Args:
        exit_code: minus a signal's number if a signal ended it.
        killer: that has looked now and then.
    """
    if exit_code == OUT_OF_MEMORY_CODE:
        return Death("ran out of memory", for_memory=True)
    if exit_code >= 0:
        return Death(f"ended by itself, with code {exit_code}")
    how = f"was killed by {signal_name(-exit_code)}"
    if -exit_code == signal.SIGBUS:
        return Death(f"{how} (a file that it had mapped was cut short, or its disk failed or is full)")
    if -exit_code != signal.SIGKILL:
        return Death(how)
    by_kernel = killer.has_struck()
    if by_kernel is None:
        return Death(f"{how}, perhaps by the kernel for lack of memory")
    if by_kernel:
        return Death(f"{how}, by the kernel for lack of memory", for_memory=True)
    return Death(f"{how} (not by the kernel's memory killer)")


def signal_name(number: int) -> str:
    """Such as SIGKILL."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
