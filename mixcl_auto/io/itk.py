"""What all readers through ITK share: its untyped module, its errors as ours, its grids as ``Geometry``."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK

from mixcl_auto.errors import DataError
from mixcl_auto.io.partial_files import partial_path, remove_abandoned
from mixcl_auto.records.case import Geometry

Array = npt.NDArray[Any]

sitk: Any = SimpleITK
"""SimpleITK's Python layer is untyped."""


@dataclass(frozen=True)
class FileContent:
    """What a file or a DICOM series holds, before any judgement of its values."""

    values_ijk: Array
    """In the file's own axes and number type."""
    geometry: Geometry
    sha256: str
    """Of the bytes of the file, or of a series' files in slice order; empty where not asked for."""
    note: str | None = None
    """What was decided in reading it, such as which of several series was taken."""
    patient_id: str = field(default="", repr=False)
    """Of a DICOM series; only to tell patients apart, never shown."""


def make_geometry(
    size: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    origin_mm: tuple[float, float, float],
    direction: tuple[float, ...],
) -> Geometry:
    """A grid with the letters of its orientation, which follow from ``direction``."""
    return Geometry(
        size=size,
        spacing_mm=spacing_mm,
        origin_mm=origin_mm,
        direction=direction,
        orientation=sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(direction),
    )


def header_geometry(header: Any) -> Geometry:
    """The grid of an ITK image or of a reader that has read the header; a fourth axis is dropped."""
    axes = len(header.GetSize())
    direction = np.array(header.GetDirection()).reshape(axes, axes)[:3, :3].ravel().tolist()
    return make_geometry(
        header.GetSize()[:3], header.GetSpacing()[:3], header.GetOrigin()[:3], tuple(direction)
    )


@contextmanager
def itk_errors(path: Path, verb: str, remedy: str | None = None) -> Iterator[None]:
    """Turn ITK's exceptions into ours; its header warnings, printed from C++, are silenced.

    Args:
        path: what is read or written.
        verb: what is done to it.
        remedy: what the user should do; where absent, guessed from the exception.
    """
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    except RuntimeError as problem:
        reason = _reason(problem).replace(str(path), path.name)
        raise DataError(
            f"{path}: ITK can't {verb} this file ({reason}); {remedy or _remedy(problem)}"
        ) from None
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def _reason(problem: RuntimeError) -> str:
    """The telling line of an ITK exception, which spans several with source files and addresses."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower() or line.startswith("ITK ")] or lines
    if not telling:
        return "no reason given"
    return re.sub(r"ITK ERROR: |sitk::ERROR: |itk::ERROR: |\w+\(0x[0-9a-f]+\): ", "", telling[-1])


def _remedy(problem: RuntimeError) -> str:
    for word, remedy in (
        ("orthonormal", "its axes are sheared: resample it onto a rectangular grid"),
        ("spacing", "write the true spacing into its header"),
        ("direction", "write the true direction of its axes into its header"),
    ):
        if word in str(problem).lower():
            return remedy
    return "check that it is whole, and of a format that ITK knows"


def nifti_bytes(image: Any, path: Path) -> bytes:
    """An image of SimpleITK as an uncompressed NIfTI file, written to the disk and read back.

    Args:
        image: the image.
        path: of the ``.nii.gz`` that is made of it.

    Raises:
        DataError: if ITK can't write it.
        OSError: if the disk is full.
    """
    plain = path.with_suffix("")
    remove_abandoned(plain)
    temporary = partial_path(plain)
    try:
        with itk_errors(path, "write"):
            sitk.WriteImage(image, str(temporary), useCompression=False)
        check_complete(temporary, path, image)
        return temporary.read_bytes()
    finally:
        temporary.unlink(missing_ok=True)


def check_complete(written: Path, path: Path, image: Any) -> None:
    """See that an uncompressed NIfTI file holds all voxels: on a full disk ITK writes what fits.

    Args:
        written: the file.
        path: as the user knows it.
        image: of SimpleITK.

    Raises:
        OSError: if it does not.
    """
    bytes_of_voxels = image.GetNumberOfPixels() * image.GetSizeOfPixelComponent()
    if not written.is_file() or written.stat().st_size < bytes_of_voxels:
        raise OSError(errno.ENOSPC, "only a part could be written; the disk may be full", str(path))
