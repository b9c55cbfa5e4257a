"""Headers whose voxels lie in other files: ``.mhd`` (MetaImage) or ``.nhdr`` (NRRD) with ``.raw``."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from mixcl_auto.errors import DataError
from mixcl_auto.records.names import is_printable, shown

_NRRD_SUFFIXES = (".nrrd", ".nhdr")
_SUFFIXES = (".mha", ".mhd", *_NRRD_SUFFIXES)
_LONGEST_HEADER = 10_000
"""In lines; one of a hundred segments has some thousand."""
_LONGEST_LINE = 1 << 20
_METAIMAGE = b"elementdatafile"
_NRRD = (b"data file", b"datafile")
"""The fields that name the voxels' files; without them NRRD's voxels follow the header."""
_AXES = (b"1", b"2", b"3", b"4")
"""ITK writes beyond its memory where a MetaImage claims to have very many."""
_HERE = (b"local", b"locale")


@dataclass(frozen=True)
class VoxelPlace:
    """Where a header says that its voxels are."""

    name: str = ""
    """Of another file, as it stands there; empty where the voxels follow the header."""
    raw: bool = False
    """Whether they take there as many bytes as in memory, neither compressed nor as text."""


def names_other_files(path: Path) -> bool:
    """Whether a file is but the header of voxels that lie elsewhere."""
    return bool(voxel_place(path).name)


def voxel_place(path: Path) -> VoxelPlace:
    """Read where a MetaImage's or NRRD's voxels are; for other files, and no such header, in the file itself.

    Raises:
        DataError: if the header has no end, if it names several files, whose pattern ITK takes as it is, or
            none that is there, or one outside of its own folder: a scan that came from elsewhere must not
            make any other file of this machine its voxels.
    """
    if not path.name.lower().endswith(_SUFFIXES):
        return VoxelPlace()
    with path.open("rb") as file:
        place = _read_place(file, path)
    if place.name:
        _check_name(place.name, path)
    return place


def _check_name(name: str, path: Path) -> None:
    windows, posix = PureWindowsPath(name), PurePosixPath(name)
    where = f"{path}: the header says that its voxels lie in {shown(name)}"
    leaves = posix.is_absolute() or windows.is_absolute() or windows.drive or ".." in windows.parts
    if leaves and (windows.drive or "\\" in name or not _is_beside(name, path)):
        raise DataError(
            f"{where}, which is not in its own folder; put both there, and correct the name in the header"
        )
    if name[:4].upper() == "LIST" or "%" in name:
        raise DataError(f"{where}, which are several files; write the scan as one file")
    if not (is_printable(name) and (path.parent / name).is_file()):
        raise DataError(f"{where}, but there is no such file; put it beside the header")


def _is_beside(name: str, path: Path) -> bool:
    """Whether a path with ``..``, or an absolute one, is that of a file in the header's own folder."""
    try:
        return (path.parent / name).resolve().parent == path.parent.resolve()
    except (OSError, ValueError):  # a loop of links, a name with a zero byte
        return False


def header_lines(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """The lines of a text header, without their ends, until the file ends.

    Raises:
        DataError: if there are more, or longer ones, than a header has.
    """
    for _ in range(_LONGEST_HEADER):
        line = file.readline(_LONGEST_LINE)
        if not line:
            return
        if len(line) == _LONGEST_LINE:
            break
        yield line.strip()
    raise DataError(f"{path}: damaged (its header has no end); copy or download the file again")


def field_of(line: bytes) -> tuple[bytes, bytes]:
    """A header line's key in lower case, and its value; both formats take ``:`` and MetaImage ``=`` too."""
    key, _, value = re.sub(rb"[=:]", b"\0", line, count=1).partition(b"\0")
    return key.strip().lower(), value.strip()


def is_true(value: bytes | None) -> bool:
    """Whether MetaImage takes a field's value for yes; an absent one is no."""
    return value is not None and value[:1] in (b"T", b"t", b"1")


def _read_place(file: BinaryIO, path: Path) -> VoxelPlace:
    """The fields up to the end of the header: a blank line in NRRD, ``ElementDataFile`` in MetaImage."""
    fields: dict[bytes, bytes] = {}
    name = b""
    for line in header_lines(file, path):
        key, value = field_of(line)
        if key == b"ndims" and value not in _AXES:
            raise DataError(
                f"{path}: damaged (NDims is {shown(value.decode('latin-1'))}); copy or download the file "
                "again"
            )
        fields[key] = value
        if key == _METAIMAGE or key in _NRRD:
            name = b"" if value.lower() in _HERE else value or b"LIST"
        if key == _METAIMAGE or (not line and path.name.lower().endswith(_NRRD_SUFFIXES)):
            break
    binary = is_true(fields.get(b"binarydata")) and not is_true(fields.get(b"compresseddata"))
    return VoxelPlace(os.fsdecode(name), raw=binary or fields.get(b"encoding", b"").lower() == b"raw")
