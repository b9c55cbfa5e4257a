"""Other processes: waiting for what they do, and one that works on a run."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mixcl_auto.io.workspace import RunFolder

HOLDER = """\
import sys, time
from pathlib import Path
from mixcl_auto.io.run_lock import run_lock
from mixcl_auto.io.workspace import RunFolder

with run_lock(RunFolder(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(120)
"""


FOLDER_HOLDER = """\
import sys, time
from pathlib import Path
from mixcl_auto.io.run_lock import output_lock

with output_lock(Path(sys.argv[1]), Path(sys.argv[2])):
    print("held", flush=True)
    time.sleep(120)
"""


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


@contextmanager
def held_elsewhere(folder: RunFolder) -> Iterator[int]:
    """Another process works on the run; gives its id."""
    with _holding(HOLDER, str(folder.path)) as process:
        yield process


@contextmanager
def folder_held_elsewhere(lock: Path, folder: Path) -> Iterator[int]:
    """Another process writes into a folder; gives its id."""
    with _holding(FOLDER_HOLDER, str(lock), str(folder)) as process:
        yield process


@contextmanager
def _holding(program: str, *arguments: str) -> Iterator[int]:
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()
