"""The slices of DICOM series: what their headers say, as ITK's GDCM reads them.

Patient names and free text are never read; the patient's id only serves to tell patients apart.
"""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mixcl_auto.errors import DataError
from mixcl_auto.io.dicom_files import DICOM_SUFFIXES, SLICE_CLASSES, files_below, sop_class_of
from mixcl_auto.io.itk import itk_errors, sitk

_LARGEST_NUMBER = 1e9
"""In mm: a thousand kilometres."""
_RIGHT_ANGLE_TOLERANCE = 0.01
"""Of scalar products: directions are sometimes written with two decimals."""


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
    picture: bool
    """In colours or without a position: a screenshot or rendering rather than a damaged slice."""
    fault: str | None
    """Why it can't be a slice of a volume, with the remedy."""


def scan_folder(folder: Path) -> tuple[list[Slice], list[Path]]:
    """Read the header of every slice below a folder, hidden files and what is not DICOM apart.

    Returns:
        The slices, and files that may be slices but are empty, cut short, broken links or unreadable.

    Raises:
        DataError: if a file or folder can't be opened.
    """
    slices, damaged = [], []
    for path in files_below(folder):
        sop_class = sop_class_of(path)
        if sop_class is None:
            if path.suffix.lower() in DICOM_SUFFIXES or not path.exists() or path.stat().st_size == 0:
                damaged.append(path)
        elif sop_class in SLICE_CLASSES:
            found = _read_header(path)
            if found is None:
                damaged.append(path)
            else:
                slices.append(found)
    return slices, damaged


def open_header(path: Path) -> Any:
    """ITK's reader of a DICOM file, its header read; None if GDCM can't read it to the end of its pixels."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        with itk_errors(path, "read"):
            reader.ReadImageInformation()
    except DataError:
        return None
    return reader


def header_text(reader: Any, key: str) -> str:
    """A tag of an open header such as ``0008|0060``; empty where it is absent.

    Control characters, and bytes that are no text, are escaped: the text may stand in a message.
    """
    text = str(reader.GetMetaData(key)).strip(" \0") if reader.HasMetaDataKey(key) else ""
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


def _read_header(path: Path) -> Slice | None:
    """None if GDCM can't read it."""
    reader = open_header(path)
    if reader is None:
        return None
    frames = math.prod(reader.GetSize()[2:])
    number, axes = header_text(reader, "0020|0011"), _numbers(reader, "0020|0037", 6)
    position, spacing = _numbers(reader, "0020|0032", 3), _numbers(reader, "0028|0030", 2)
    thickness = _numbers(reader, "0018|0050", 1)
    axes = axes if axes and _at_right_angles(axes) else None
    return Slice(
        path=path,
        series_uid=header_text(reader, "0020|000e"),
        series_number=int(number) if re.fullmatch(r"[+-]?\d{1,12}", number) else None,
        modality=header_text(reader, "0008|0060"),
        patient_id=header_text(reader, "0010|0020"),
        size=reader.GetSize()[:2],
        spacing_mm=(spacing[1], spacing[0]) if spacing else (1.0, 1.0),
        thickness_mm=thickness[0] if thickness and thickness[0] > 0 else 1.0,
        position_mm=position or (0.0, 0.0, 0.0),
        axes=axes or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        picture=(frames == 1 and (position is None or axes is None)) or reader.GetNumberOfComponents() > 1,
        fault=_fault(reader, position, axes, spacing),
    )


def _fault(
    reader: Any,
    position: tuple[float, ...] | None,
    axes: tuple[float, ...] | None,
    spacing: tuple[float, ...] | None,
) -> str | None:
    if (frames := math.prod(reader.GetSize()[2:])) > 1:
        return (
            f"it holds {frames} frames, whose positions can't be checked; export one file per slice, or "
            "convert it to NIfTI (dcm2niix does) and give that"
        )
    colours = header_text(reader, "0028|0004")
    if reader.GetNumberOfComponents() != 1 or colours != "MONOCHROME2":
        return f"its pixels are {colours or 'of unknown kind'}, MONOCHROME2 is needed; export the slices so"
    if position is None or axes is None:
        return (
            "it does not say where it lies (ImagePositionPatient, ImageOrientationPatient); export the "
            "scanner's own slices"
        )
    if spacing is None or min(spacing) <= 0:
        return "it does not say the size of its pixels (PixelSpacing); export the scanner's own slices"
    return None


def _at_right_angles(axes: tuple[float, ...]) -> bool:
    i, j = np.reshape(axes, (2, 3))
    return bool(max(abs(i @ i - 1), abs(j @ j - 1), abs(i @ j)) <= _RIGHT_ANGLE_TOLERANCE)


def _numbers(reader: Any, key: str, count: int) -> tuple[float, ...] | None:
    """A tag's numbers; None unless there are that many, none beyond what any scanner's can be."""
    try:
        numbers = tuple(float(part) for part in header_text(reader, key).split("\\"))
    except ValueError:
        return None
    return numbers if len(numbers) == count and np.all(np.abs(numbers) < _LARGEST_NUMBER) else None
