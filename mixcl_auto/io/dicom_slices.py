"""The slices of DICOM series: finding their files, reading their headers, checking that pixels are whole.

Headers come from ITK's GDCM. Patient names and free text are never read; the patient's id only serves to tell
patients apart.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mixcl_auto.errors import DataError
from mixcl_auto.io.itk import itk_errors, sitk

_MAGIC_AT, _MAGIC = 128, b"DICM"
_HEAD_BYTES = 2048
_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
_CLASS = "1.2.840.10008.5.1.4.1.1."
SLICE_CLASSES = frozenset(
    _CLASS + ending
    for ending in ("2", "2.1", "2.2", "4", "4.1", "4.4", "128", "128.1", "130", "7", "7.1", "7.2", "7.3")
)
"""SOP classes of CT, MR, PET and secondary capture; all else (SEG, RTSTRUCT, reports, ...) is no scan."""


@dataclass(frozen=True)
class Slice:
    """What the header of one file of a series says."""

    path: Path
    series_uid: str
    series_number: int | None
    modality: str
    patient_id: str = field(repr=False)
    """Never shown."""
    size: tuple[int, int]
    """Columns and rows: voxels along i and j."""
    spacing_mm: tuple[float, float]
    """Along i and j."""
    thickness_mm: float
    position_mm: tuple[float, ...]
    """Of the first pixel's centre, in LPS."""
    axes: tuple[float, ...]
    """Six numbers: where i points and where j points, in LPS."""
    fault: str | None
    """Why it can't be a slice of a volume, with the remedy."""


def scan_folder(folder: Path) -> tuple[list[Slice], list[Path]]:
    """Read the header of every slice below a folder, hidden files and what is not DICOM apart.

    Returns:
        The slices, and files that should be slices but are empty, cut short or otherwise unreadable.

    Raises:
        DataError: if a file or folder can't be opened.
    """
    slices, damaged = [], []
    for path in _files(folder):
        sop_class = _sop_class(path)
        if sop_class is None:
            if path.suffix.lower() in _DICOM_SUFFIXES or path.stat().st_size == 0:
                damaged.append(path)
        elif sop_class in SLICE_CLASSES:
            found = _read_header(path)
            if found is None:
                damaged.append(path)
            else:
                slices.append(found)
    return slices, damaged


def holds_slices(folder: Path) -> bool:
    """Whether any file below the folder says that it is a slice; the first one that does ends the search."""
    return any(_sop_class(path) in SLICE_CLASSES for path in _files(folder))


def is_dicom_file(path: Path) -> bool:
    """Whether a file says that it is DICOM, whatever its name."""
    with path.open("rb") as file:
        return file.read(_MAGIC_AT + len(_MAGIC))[_MAGIC_AT:] == _MAGIC


def compression_of(path: Path) -> str | None:
    """The UID of the transfer syntax if it compresses pixels, else None."""
    found = _uid(rb"\x02\x00\x10\x00", path)
    return found if found and found.startswith(("1.2.840.10008.1.2.4", "1.2.840.10008.1.2.5")) else None


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


def _files(folder: Path) -> Iterator[Path]:
    """Files below the folder, sorted, links followed; hidden ones and hidden folders are skipped."""

    def refuse(problem: OSError) -> None:
        raise DataError(f"{problem.filename}: the folder can't be opened ({problem.strerror})")

    seen = set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        seen.add(os.path.realpath(parent))
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(Path(parent, name)) not in seen
        )
        for name in sorted(files):
            path = Path(parent, name)
            if not name.startswith(".") and path.is_file():
                yield path


def _sop_class(path: Path) -> str | None:
    """The SOP class of a DICOM file, with or without a preamble; None if it is none, or too short."""
    return _uid(rb"(?:\x02\x00\x02\x00|\x08\x00\x16\x00)", path)


def _uid(tag: bytes, path: Path) -> str | None:
    """A UID from the start of a DICOM file; the four bytes after its tag hold its type and length."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as problem:
        raise DataError(
            f"{path}: the file can't be opened ({problem.strerror}); check its permissions"
        ) from None
    if head[_MAGIC_AT:].startswith(_MAGIC):
        head = head[_MAGIC_AT:]
    elif head[:2] not in (b"\x02\x00", b"\x08\x00"):
        return None
    found = re.search(tag + rb".{4}([0-9.]+)", head, re.DOTALL)
    return found[1].decode("ascii") if found else None


def _read_header(path: Path) -> Slice | None:
    """None if GDCM can't read it, which it does to the end of the pixels."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        with itk_errors(path, "read"):
            reader.ReadImageInformation()
    except DataError:
        return None
    number, axes = _text(reader, "0020|0011"), _numbers(reader, "0020|0037", 6)
    position, spacing = _numbers(reader, "0020|0032", 3), _numbers(reader, "0028|0030", 2)
    thickness = _numbers(reader, "0018|0050", 1)
    return Slice(
        path=path,
        series_uid=_text(reader, "0020|000e"),
        series_number=int(number) if re.fullmatch(r"[+-]?\d+", number) else None,
        modality=_text(reader, "0008|0060"),
        patient_id=_text(reader, "0010|0020"),
        size=reader.GetSize()[:2],
        spacing_mm=(spacing[1], spacing[0]) if spacing else (1.0, 1.0),
        thickness_mm=thickness[0] if thickness and thickness[0] > 0 else 1.0,
        position_mm=position or (0.0, 0.0, 0.0),
        axes=axes or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        fault=_fault(reader, position, axes, spacing),
    )


def _fault(
    reader: Any,
    position: tuple[float, ...] | None,
    axes: tuple[float, ...] | None,
    spacing: tuple[float, ...] | None,
) -> str | None:
    if reader.GetSize()[2:] != (1,):
        frames = "; export one file per slice, or convert it to NIfTI (dcm2niix does) and give that"
        return f"it holds {reader.GetSize()[2]} frames, whose positions can't be checked{frames}"
    colours = _text(reader, "0028|0004")
    if reader.GetNumberOfComponents() != 1 or colours != "MONOCHROME2":
        return f"its pixels are {colours or 'of unknown kind'}, MONOCHROME2 is needed; export the grey slices"
    if position is None or axes is None or not _at_right_angles(axes):
        return (
            "it does not say where it lies (ImagePositionPatient, ImageOrientationPatient); export the "
            "scanner's own slices"
        )
    if spacing is None or min(spacing) <= 0:
        return "it does not say the size of its pixels (PixelSpacing); export the scanner's own slices"
    return None


def _at_right_angles(axes: tuple[float, ...]) -> bool:
    """Up to the rounding of directions that are written with few digits."""
    i, j = np.reshape(axes, (2, 3))
    return bool(np.allclose([i @ i, j @ j, i @ j], [1, 1, 0], atol=1e-2))


def _text(reader: Any, key: str) -> str:
    return str(reader.GetMetaData(key)).strip(" \0") if reader.HasMetaDataKey(key) else ""


def _numbers(reader: Any, key: str, count: int) -> tuple[float, ...] | None:
    """A tag's numbers; None unless there are that many, all finite."""
    try:
        numbers = tuple(float(part) for part in _text(reader, key).split("\\"))
    except ValueError:
        return None
    return numbers if len(numbers) == count and np.isfinite(numbers).all() else None
