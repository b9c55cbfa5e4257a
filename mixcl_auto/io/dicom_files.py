"""DICOM files as bytes: which lie below a folder, what they say they are, whether their pixels are whole."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from mixcl_auto.errors import DataError

_MAGIC_AT, _MAGIC = 128, b"DICM"
_HEAD_BYTES = 2048
_BEST_COMPRESSION = 10_000
"""More than JPEG 2000 makes of an empty slice."""
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
_CLASS = "1.2.840.10008.5.1.4.1.1."
SLICE_CLASSES = frozenset(
    _CLASS + ending for ending in ("2", "2.1", "2.2", "4", "4.1", "4.4", "128", "128.1", "130", "7")
)
"""SOP classes of CT, MR and PET, and the secondary capture that converters write; all else (SEG, RTSTRUCT,
reports, ...) is no scan."""


def files_below(folder: Path) -> Iterator[Path]:
    """Files below the folder, sorted, hidden ones skipped; links are followed, broken ones are among them."""

    def refuse(problem: OSError) -> None:
        raise DataError(f"{problem.filename}: the folder can't be opened ({problem.strerror})")

    seen: set[Path] = set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        real = Path(parent).resolve()
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:
            yield from (Path(parent, name) for name in sorted(files) if not name.startswith("."))
        seen.add(real)


def sop_class_of(path: Path) -> str | None:
    """The SOP class of a DICOM file, with or without a preamble; None if it is none, or too short.

    Raises:
        DataError: if the file can't be opened; a broken link is no DICOM file.
    """
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as problem:
        raise DataError(
            f"{path}: the file can't be opened ({problem.strerror}); check its permissions"
        ) from None
    return _uid(rb"(?:\x02\x00\x02\x00|\x08\x00\x16\x00)", head)


def is_dicom_file(path: Path) -> bool:
    """Whether a file says that it is DICOM, whatever its name."""
    with path.open("rb") as file:
        return file.read(_MAGIC_AT + len(_MAGIC))[_MAGIC_AT:] == _MAGIC


def compression_of(data: bytes) -> str | None:
    """The UID of a DICOM file's transfer syntax if it compresses pixels, else None."""
    found = _uid(rb"\x02\x00\x10\x00", data[:_HEAD_BYTES])
    return found if found and found.startswith(("1.2.840.10008.1.2.4", "1.2.840.10008.1.2.5")) else None


def refuse_lying_size(path: Path, pixels: int) -> None:
    """Refuse a file that is too small for its rows and columns, before memory is asked for them.

    Args:
        path: of a slice.
        pixels: that its header declares; each takes a byte or more.

    Raises:
        DataError: if they can't be in it, or it can't be opened.
    """
    try:
        with path.open("rb") as file:
            compressed = compression_of(file.read(_HEAD_BYTES)) is not None
        held = path.stat().st_size * (_BEST_COMPRESSION if compressed else 1)
    except OSError as problem:
        raise DataError(
            f"{path}: the file can't be opened ({problem.strerror}); start again if it was just moved"
        ) from None
    if pixels > held:
        raise DataError(
            f"{path}: its pixels are cut short (the header declares {pixels}, the file has "
            f"{path.stat().st_size} bytes); copy or download it again"
        )


def refuse_short_pixels(path: Path, data: bytes, needed: int) -> None:
    """Refuse a file whose uncompressed pixels are fewer than its rows and columns: GDCM makes up the rest.

    Args:
        path: for the error.
        data: the file's bytes.
        needed: bytes of all pixels.

    Raises:
        DataError: if they are fewer. Compressed pixels are left to GDCM, which finds out by itself.
    """
    lengths = [
        int.from_bytes(found[1] or found[2], "little")
        for found in re.finditer(rb"\xe0\x7f\x10\x00(?:O[WB]\x00\x00(.{4})|(.{4}))", data, re.DOTALL)
    ]
    if lengths and max(lengths) < needed:
        raise DataError(
            f"{path}: its pixels are cut short ({max(lengths)} of {needed} bytes); copy or download it again"
        )


def _uid(tag: bytes, head: bytes) -> str | None:
    """A UID from the start of a DICOM file; the four bytes after its tag hold its type and length."""
    if head[_MAGIC_AT:].startswith(_MAGIC):
        head = head[_MAGIC_AT:]
    elif head[:2] not in (b"\x02\x00", b"\x08\x00"):
        return None
    found = re.search(tag + rb".{4}([0-9.]+)", head, re.DOTALL)
    return found[1].decode("ascii") if found else None
