"""Names of files and folders that are not whole yet, and the removal of those that nobody will finish.

``.<machine>-<process>.<name>`` beside ``<name>``: hidden, told apart between processes also of machines that
share a file system, and with the suffixes of the file, by which libraries choose a format.
"""

import os
import re
import shutil
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from socket import gethostname

_PATTERN = re.compile(r"\.([0-9a-f]{8})-(\d+)\.(.+)")
_EARLIER_PATTERN = re.compile(r"\.\d+\.(.+)")
"""Of earlier versions, which did not name the machine."""
_ABANDONED_AFTER_S = 24 * 3600.0
"""A process of another machine that writes changes its file more often."""


def partial_path(path: Path) -> Path:
    """Where this process writes a file, or a folder, before it is moved to ``path``."""
    return path.with_name(f".{_machine()}-{os.getpid()}.{path.name}")


def remove_abandoned(path: Path) -> None:
    """Remove what killed processes left of one file or folder.

    Of this machine that is what no living process writes, of other machines, and other containers, what
    has not changed for a day.
    """
    _remove_abandoned(_partials(path.parent, path.name))


def remove_all_abandoned(folder: Path, *, earlier_form: bool = False) -> None:
    """Remove what killed processes left in a folder, as ``remove_abandoned`` does, but not further down.

    Args:
        folder: where to look.
        earlier_form: whether also what earlier versions left goes (``.<process>.<name>``), once it has not
            changed for a day: only where no file of the user's can be called so.
    """
    _remove_abandoned(_partials(folder))
    if earlier_form:
        for path in _entries(folder):
            if _EARLIER_PATTERN.fullmatch(path.name) and _is_old(path):
                remove(path)


def remove_partials(folder: Path) -> None:
    """Remove whatever is not whole in a folder and in those below, where no other process can be writing."""
    remove_partials_in([folder, *(path for path in folder.rglob("*") if path.is_dir())])


def remove_partials_in(folders: Iterable[Path]) -> None:
    """Remove whatever is not whole directly in these folders, where no other process can be writing."""
    me = (_machine(), os.getpid())
    for folder in folders:
        for partial, machine, process in _partials(folder):
            if (machine, process) != me:
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


def _remove_abandoned(partials: Iterable[tuple[Path, str, int]]) -> None:
    for partial, machine, process in partials:
        if not is_alive(process) if machine == _machine() else _is_old(partial):
            remove(partial)


def _is_old(path: Path) -> bool:
    """Whether neither a file, nor a folder or anything in it, has changed for a day."""
    limit = time.time() - _ABANDONED_AFTER_S
    try:
        inside = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
        return all(one.lstat().st_mtime < limit for one in (path, *inside))
    except OSError:  # it changes now
        return False


def _partials(folder: Path, name: str | None = None) -> Iterator[tuple[Path, str, int]]:
    """Partial files in a folder, all or those of one name, with the machine and process that wrote them."""
    for path in _entries(folder):
        match = _PATTERN.fullmatch(path.name)
        if match is not None and name in (None, match[3]):
            yield path, match[1], int(match[2])


def _entries(folder: Path) -> list[Path]:
    """The hidden files and folders of a folder; none where it can't be listed."""
    try:
        return [folder / name for name in os.listdir(folder) if name.startswith(".")]  # noqa: PTH208
    except OSError:
        return []


@cache
def _machine() -> str:
    """Eight hexadecimal digits: the host, and the container whose process ids these are."""
    try:
        container = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116
    except OSError:
        container = 0
    return f"{zlib.crc32(f'{gethostname()} {container}'.encode()):08x}"
