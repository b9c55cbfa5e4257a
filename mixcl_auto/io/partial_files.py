"""Names of files and folders that are not whole yet, and the removal of those that nobody will finish.

``.<machine>-<process>.<name>`` beside ``<name>``: hidden, told apart between processes also of machines that
share a file system, and with the suffixes of the file, by which libraries choose a format.
"""

import os
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from socket import gethostname

_PATTERN = re.compile(r"\.([0-9a-f]{8})-(\d+)\.(.+)")


def partial_path(path: Path) -> Path:
    """Where this process writes a file, or a folder, before it is moved to ``path``."""
    return path.with_name(f".{_machine()}-{os.getpid()}.{path.name}")


def remove_abandoned(path: Path) -> None:
    """Remove what killed processes of this machine left of one file or folder."""
    for partial, machine, process in _partials(path.parent, path.name):
        if machine == _machine() and not is_alive(process):
            remove(partial)


def remove_all_abandoned(folder: Path) -> None:
    """Remove what killed processes of this machine left in a folder, but not further down."""
    for partial, machine, process in _partials(folder):
        if machine == _machine() and not is_alive(process):
            remove(partial)


def remove_partials(folder: Path) -> None:
    """Remove whatever is not whole in a folder and in those below, where no other process can be writing."""
    for place in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        for partial, _, process in _partials(place):
            if process != os.getpid():
                remove(partial)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there and may be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):  # of another user, or removed by another process meanwhile
        path.unlink()


def is_alive(process: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _partials(folder: Path, name: str | None = None) -> Iterator[tuple[Path, str, int]]:
    """Partial files in a folder, all or those of one name, with the machine and process that wrote them."""
    try:
        entries = os.listdir(folder)  # noqa: PTH208
    except OSError:
        return
    for entry in entries:
        match = _PATTERN.fullmatch(entry) if entry.startswith(".") else None
        if match is not None and name in (None, match[3]):
            yield folder / entry, match[1], int(match[2])


@cache
def _machine() -> str:
    """Eight hexadecimal digits: the host, and the container whose process ids these are."""
    try:
        container = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116
    except OSError:
        container = 0
    return f"{zlib.crc32(f'{gethostname()} {container}'.encode()):08x}"
