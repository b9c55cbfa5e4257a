"""One process at a time works on a run: a lock in its folder that the kernel frees when the holder dies.

These are POSIX record locks: they hold between machines that share a file system with locking (NFS too),
and a forked loader worker does not inherit them. A process that holds one must not open the lock's file
again, since closing that would free the lock: so never ask for the holder of a run that is one's own.
"""

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname

from pydantic import ValidationError

from mixcl_auto.errors import RunError
from mixcl_auto.io.partial_files import remove_partials
from mixcl_auto.io.workspace import RunFolder
from mixcl_auto.records.record import Record

logger = logging.getLogger(__name__)

_LEAST_PATIENCE_S = 2.0
"""Whoever looks for the holder takes the lock for an instant; that alone must refuse nobody."""
_POLL_S = 0.1
_HELD = (errno.EACCES, errno.EAGAIN)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_MOST_BYTES = 4096
_REFUSAL = "has been working on this {thing} since"
_RUN, _FOLDER = "run", "folder"


class Holder(Record):
    """Who works on a run."""

    host: str
    pid: int
    since: str
    """ISO 8601, UTC."""


_UNKNOWN = Holder(host="an unknown machine", pid=0, since="an unknown time")


@contextmanager
def run_lock(folder: RunFolder, *, patience_s: float = 0.0) -> Iterator[None]:
    """Be the only process that works on a run; an earlier failure is forgotten, as is what is not whole.

    Where the file system knows no locks, a warning says so and the work goes on.

    Args:
        folder: of the run; made if it is not there.
        patience_s: how long to wait for another holder to end, such as one that is saving its state.

    Raises:
        RunError: if another process holds it; says which.
    """
    with _lock(folder.lock, folder.path, _RUN, patience_s) as locked:
        if locked:
            remove_partials(folder.path)
        folder.failure.unlink(missing_ok=True)
        yield


@contextmanager
def output_lock(lock: Path, output: Path, *, patience_s: float = 0.0) -> Iterator[bool]:
    """Be the only process that writes into a folder; the lock's file is gone at the end.

    Args:
        lock: the file; its folder is made if it is not there.
        output: the folder that it stands for, which may not be there yet.
        patience_s: how long to wait for another holder to end.

    Returns:
        Whether no other process can be writing there: not where the file system knows no locks.

    Raises:
        RunError: if another process holds it; says which.
    """
    with _lock(lock, output, _FOLDER, patience_s, passing=True) as locked:
        yield locked


@contextmanager
def _lock(lock: Path, work: Path, thing: str, patience_s: float, *, passing: bool = False) -> Iterator[bool]:
    """Hold a lock, signed as far as the disk has room; gives whether it is locked: not without locks here.

    Args:
        lock: the file.
        work: what it stands for.
        thing: what that is, for messages.
        patience_s: how long to wait for another holder to end.
        passing: whether the file goes at the end, else it stays, empty.
    """
    deadline = time.monotonic() + max(patience_s, _LEAST_PATIENCE_S)
    descriptor, locked = _open_and_take(lock, work, thing, deadline)
    try:
        if locked:
            _sign(descriptor, lock)
        yield locked
    finally:
        try:
            if locked:
                _leave(descriptor, lock, passing=passing)
        finally:
            os.close(descriptor)  # which frees the lock


def _sign(descriptor: int, lock: Path) -> None:
    """Say who holds a lock; where that can't be written it is held all the same, by an unknown process."""
    me = Holder(host=gethostname(), pid=os.getpid(), since=_now())
    try:
        _write(descriptor, me.to_json().encode())
    except OSError as problem:
        logger.warning("%s: held, but it can't say by whom (%s)", lock, problem.strerror)


def _leave(descriptor: int, lock: Path, *, passing: bool) -> None:
    if passing and _is_in_place(descriptor, lock):
        lock.unlink(missing_ok=True)
    else:
        os.ftruncate(descriptor, 0)


def holder(folder: RunFolder) -> Holder | None:
    """Who works on a run now; none where the file system knows no locks.

    The calling process must not hold the lock itself.
    """
    try:
        descriptor = os.open(folder.lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as problem:
        if problem.errno in _HELD:
            return _read(descriptor)
        if problem.errno in _NO_LOCKS:
            return None
        raise
    finally:
        os.close(descriptor)
    return None


def says_refused(text: str) -> bool:
    """Whether a program that said this ended because another process works on its run."""
    return _REFUSAL.format(thing=_RUN) in text


def _open_and_take(lock: Path, work: Path, thing: str, deadline: float) -> tuple[int, bool]:
    """The descriptor of the lock's file, and whether it is locked: not if there are no locks here.

    A file that was removed or replaced while we waited for it keeps nobody else out: then the one that is
    there now is taken.
    """
    while True:
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            locked = _take(descriptor, work, thing, deadline)
            if not locked or _is_in_place(descriptor, lock):
                return descriptor, locked
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_in_place(descriptor: int, lock: Path) -> bool:
    """Whether an open lock file is still the one that others find."""
    try:
        return os.path.samestat(os.fstat(descriptor), lock.stat())
    except OSError:  # removed; on NFS fstat may say so itself, by ESTALE
        return False


def _take(descriptor: int, work: Path, thing: str, deadline: float) -> bool:
    """Take the lock; false if there are no locks here."""
    while True:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            if problem.errno in _NO_LOCKS:
                logger.warning(
                    "%s: no locks on this file system (%s); see that no other process works on this %s",
                    work,
                    problem.strerror,
                    thing,
                )
                return False
            if problem.errno not in _HELD:
                raise
        else:
            return True
        if time.monotonic() >= deadline:
            other = _read(descriptor)
            raise RunError(
                f"{work}: process {other.pid or 'unknown'} on {other.host} {_REFUSAL.format(thing=thing)} "
                f"{other.since}; wait for it, or stop it"
            )
        time.sleep(_POLL_S)


def _read(descriptor: int) -> Holder:
    """What the holder wrote, which it does just after it took the lock."""
    try:
        return Holder.model_validate_json(os.pread(descriptor, _MOST_BYTES, 0))
    except ValidationError:
        return _UNKNOWN


def _write(descriptor: int, content: bytes) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, content, 0)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
