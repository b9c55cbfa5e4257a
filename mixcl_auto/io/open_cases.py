"""How many cached cases a process may have open at once: each takes files of the few that it may open.

Linux lets a process open 1024 files by default, and a pool of many datasets has hundreds of cases of three.
"""

import errno
import os
import resource
import threading
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import Protocol

from mixcl_auto.errors import RunError

_FILES_PER_CASE = 3
_FULL = (errno.EMFILE, errno.ENFILE)
_MOST_CASES = 1024
"""However many files may be open: a case's voxels to centre patches on take up to 0.8 MB at 14 classes."""
_ENOUGH_FILES = 4096


class Closable(Protocol):
    """A case whose files can be closed, and are opened again when they are wanted."""

    def close(self) -> None:
        """Close them."""


class OpenCases:
    """The cases that this process has open; those that were not used for longest are closed for others.

    Cases that nobody else refers to any more are forgotten; their files are closed with them.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._by_use: OrderedDict[weakref.ref[Closable], None] = OrderedDict()

    def note_use(self, case: Closable) -> None:
        """Count a case as the one that was used last, and close what is too much with it."""
        if self._process != os.getpid():
            self._leave_to_parent()
        use = weakref.ref(case)
        with self._lock:
            if use in self._by_use:
                self._by_use.move_to_end(use)
                return
            self._by_use[use] = None
            surplus = self._take_surplus()
        for closable in surplus:
            closable.close()

    def _take_surplus(self) -> list[Closable]:
        """Leave out who is gone, then the cases that were not used for longest."""
        most = most_open_cases()
        if len(self._by_use) <= most:
            return []
        alive = [(use, case) for use in self._by_use if (case := use()) is not None]
        surplus = alive[: max(0, len(alive) - most)]
        self._by_use = OrderedDict.fromkeys(use for use, _ in alive[len(surplus) :])
        return [case for _, case in surplus]

    def _leave_to_parent(self) -> None:
        """After a fork: close what was inherited open, and begin with a lock that nobody holds."""
        inherited = [use() for use in self._by_use]
        self._begin()
        for case in inherited:
            if case is not None:
                case.close()


def most_open_cases() -> int:
    """As many as take half of the files that this process may have open; the network needs some, too."""
    limit = _open_files_limit()
    return _MOST_CASES if limit < 0 else max(1, min(_MOST_CASES, limit // (2 * _FILES_PER_CASE)))


def is_out_of_files(problem: BaseException) -> bool:
    """Whether something failed since no more files can be opened; not every library says why it failed."""
    for known in (problem, problem.__context__):
        if isinstance(known, OSError) and known.errno in _FULL:
            return True
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as another:
        return another.errno in _FULL
    return False


def too_many_files(path: Path) -> RunError:
    """The error for a file that is as it should be, but can't be opened."""
    limit = _open_files_limit()
    enough = max(_ENOUGH_FILES, 2 * limit)
    return RunError(
        f"{path}: can't be opened, since too many files are open (this process may open {limit}); nothing "
        f"is wrong with the file: allow more with `ulimit -n {enough}`, and run the same command again"
    )


def _open_files_limit() -> int:
    """Of this process; negative where there is none."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
