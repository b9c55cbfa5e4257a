"""Waiting for what other processes do."""

import time
from collections.abc import Callable
from pathlib import Path


def wait_until(condition: Callable[[], bool]) -> None:
    """Return as soon as the condition holds; fail after a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within a minute"
        time.sleep(0.05)


def wait_for_line(log: Path, line: str) -> None:
    """Return as soon as a log has that line."""
    wait_until(lambda: log.exists() and line in log.read_text().splitlines())


def is_alive(process: int) -> bool:
    """Whether there is a process of that id that has not ended; looks in /proc."""
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
