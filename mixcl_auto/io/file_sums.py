"""Sizes and check sums of the files of one folder, kept beside them: lz4 has none of its own.

Cached cases written before there were check sums have no such file, and are taken as they are.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from mixcl_auto.errors import DataError
from mixcl_auto.io.files import file_sha256, read_text
from mixcl_auto.records.names import PlainName
from mixcl_auto.records.record import Record

NAME = "sums.json"

_HEADER_BYTES = 24
_LENGTH = slice(16, 24)
"""A frame of blosc2 holds its own length, big-endian, at byte 16."""


class FileSum(Record):
    """One file as it was written."""

    size: Annotated[int, Field(ge=0)]
    """In bytes."""
    sha256: str


class FolderSums(Record):
    """``sums.json``: all files of the folder but itself."""

    files: dict[PlainName, FileSum]


def write_sums(folder: Path) -> None:
    """Write the sums of a folder that nobody else sees yet."""
    files = {
        path.name: FileSum(size=path.stat().st_size, sha256=file_sha256(path))
        for path in sorted(folder.iterdir())
    }
    (folder / NAME).write_text(FolderSums(files=files).to_json(), encoding="utf-8")


def damaged_file(folder: Path) -> Path | None:
    """A file of the folder that is not as it was written; none if all are, or if no sums were kept.

    Every file is read.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        text = read_text(path, what="list of check sums", remedy="remove it")
        sums = FolderSums.from_json(text, source=str(path))
    except DataError:
        return path
    return next(
        (folder / name for name, wanted in sums.files.items() if not _is(folder / name, wanted)), None
    )


def is_cut_short(path: Path) -> bool:
    """Whether a file of blosc2 is shorter than it says.

    Mapped into memory, such a file kills the process that reads beyond its end (SIGBUS), without a word.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
        size = file.seek(0, 2)
    return len(header) < _HEADER_BYTES or size < int.from_bytes(header[_LENGTH], "big")


def _is(path: Path, wanted: FileSum) -> bool:
    try:
        return path.stat().st_size == wanted.size and file_sha256(path) == wanted.sha256
    except OSError:
        return False
