"""Writing files so that a reader sees the old content or the new one, never half of it."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mixcl_auto.errors import DataError
from mixcl_auto.io.partial_files import partial_path, remove_abandoned

LARGEST_TEXT_BYTES = 50_000_000
"""A dataset of a hundred thousand cases is described in half of it; more is not what the name says."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder (same suffixes); moved onto ``path`` if the block succeeds.

    The move is on the disk when the block is left. What killed processes left of the same file is removed.

    Raises:
        OSError: if it can't be written; ``filename`` is ``path``, which the user knows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path)
    temporary = partial_path(path)
    try:
        with naming(path, temporary):
            yield temporary
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path, temporary: Path) -> Iterator[None]:
    """Have a failed write name what the user knows instead of the temporary file, or instead of nothing."""
    try:
        yield
    except OSError as problem:
        is_ours = problem.filename is None or Path(problem.filename).is_relative_to(temporary)
        if is_ours and problem.errno is not None:
            problem.filename = str(path)
        raise


def sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as problem:
        # Some network file systems know no fsync of a folder; a full or failing disk says something else.
        if not (path.is_dir() and problem.errno in (errno.EINVAL, errno.EBADF, errno.ENOTSUP)):
            raise
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Replace a text file (UTF-8) at once."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


ANOTHER_WORKSPACE = "choose another workspace (-w), and give the data's folder as --raw-data if it stays here"


def check_writable(folder: Path, *, remedy: str = ANOTHER_WORKSPACE) -> None:
    """See that files can be written into a folder, which need not exist yet; before hours of work, not after.

    Args:
        folder: that is to be written to.
        remedy: what the user should do otherwise.

    Raises:
        DataError: if not.
    """
    existing = next(one for one in (folder, *folder.parents) if one.exists())
    if not os.access(existing, os.W_OK):
        raise DataError(f"{existing}: you may not write here; {remedy}")


def read_text(path: Path, *, what: str, remedy: str, largest_bytes: int = LARGEST_TEXT_BYTES) -> str:
    """Read a text file (UTF-8, with or without a byte order mark).

    Args:
        path: the file.
        what: what it holds, for the error.
        remedy: what the user should do if it can't be read.
        largest_bytes: more are not read.

    Raises:
        DataError: if it is missing, unreadable, too large, or a pipe or device, which might never end.
    """
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise DataError(f"{path}: the {what} is no regular file (a pipe or a device); {remedy}")
        with path.open("rb") as file:
            data = file.read(largest_bytes + 1)
        if len(data) > largest_bytes:
            raise DataError(
                f"{path}: more than {largest_bytes / 1e6:g} MB are too much for a {what}; {remedy}"
            )
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: no such {what}; {remedy}") from None
    except UnicodeDecodeError:
        raise DataError(
            f"{path}: the {what} can't be read (it is not text in UTF-8: save it so); {remedy}"
        ) from None
    except OSError as problem:
        raise DataError(f"{path}: the {what} can't be read ({problem.strerror}); {remedy}") from None


def check_readable(path: Path) -> None:
    """See that a file is there, that it can be read, and that it is not empty.

    Raises:
        DataError: if not.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{path}: no regular file (a folder, a pipe or a device); give a file")
        with path.open("rb") as file:
            empty = not file.read(1)
    except FileNotFoundError:
        if path.is_symlink():
            raise DataError(
                f"{path}: a link to {path.readlink()}, which is not there; restore that file, mount its "
                "disk, or correct the link"
            ) from None
        raise DataError(f"{path}: no such file; put it there, or correct its name") from None
    except PermissionError:
        raise DataError(
            f"{path}: you may not read this file; let its owner permit it (chmod a+r), also on its folders"
        ) from None
    except OSError as problem:
        raise DataError(
            f"{path}: the file can't be opened ({problem.strerror}); check its disk and its folders"
        ) from None
    if empty:
        raise DataError(f"{path}: the file is empty (0 bytes); copy or download it again")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
