"""The header of a NIfTI file, judged before ITK reads it.

ITK takes a pixel size of 0 for 1 mm, and passes over a placement that is not a number or that contradicts the
other, all without a word. Fields are named as in the NIfTI-1 standard (https://nifti.nimh.nih.gov/nifti-1).
"""

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mixcl_auto.errors import DataError
from mixcl_auto.records.case import Geometry, times

GZIP_MAGIC = b"\x1f\x8b"
_LENGTHS = (348, 540)
"""Of a header of version 1 and 2; they stand in its first four bytes."""
HEADER_BYTES = max(_LENGTHS)
_MILLIMETRES = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}
"""``xyzt_units`` (unknown, metre, millimetre, micrometre) to mm."""
_TOLERANCE_VOXELS = 0.25
_LPS = np.array([-1.0, -1.0, 1.0])
"""NIfTI's space is RAS, ITK's is LPS."""


@dataclass(frozen=True)
class NiftiHeader:
    """The fields that matter here."""

    order: str
    """Of the bytes, as ``struct`` writes it: ``<`` or ``>``."""
    datatype: int
    vox_offset: int
    """Of the voxels in the file, in bytes."""
    slope: float
    intercept: float
    dim: tuple[int, ...]
    """Number of axes, then the voxels along each."""
    pixdim: tuple[float, ...]
    """Handedness of the qform, then the voxel's size along each axis."""
    units: int
    qform_code: int
    sform_code: int
    quaternion: tuple[float, ...]
    qoffset: tuple[float, ...]
    srow: tuple[float, ...]

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Read the header of version 1 or 2 in either byte order.

        Raises:
            struct.error: if there are too few bytes.
        """
        order = "<" if struct.unpack_from("<i", data)[0] in _LENGTHS else ">"

        def read(form: str, offset: int) -> tuple[Any, ...]:
            return struct.unpack_from(order + form, data, offset)

        length = read("i", 0)[0]
        if length == _LENGTHS[1]:
            (datatype,), (vox_offset, slope, intercept), (units,) = (
                read("h", 12),
                read("qdd", 168),
                read("i", 500),
            )
            dim, pixdim, codes, placements = (
                read("8q", 16),
                read("8d", 104),
                read("ii", 344),
                read("18d", 352),
            )
        else:
            (datatype,), (vox_offset, slope, intercept), (units,) = (
                read("h", 70),
                read("fff", 108),
                read("b", 123),
            )
            dim, pixdim, codes, placements = read("8h", 40), read("8f", 76), read("hh", 252), read("18f", 256)
        return cls(
            order=order,
            datatype=datatype,
            vox_offset=max(length, int(vox_offset) if math.isfinite(vox_offset) else 0),
            slope=slope,
            intercept=intercept,
            dim=dim,
            pixdim=pixdim,
            units=units,
            qform_code=codes[0],
            sform_code=codes[1],
            quaternion=placements[:3],
            qoffset=placements[3:6],
            srow=placements[6:],
        )


def check_header(path: Path) -> None:
    """See that a file is NIfTI, and that its header gives a size and a place to every voxel.

    Raises:
        DataError: if not.
    """
    header = _read_header(path)
    axes = header.dim[0]
    sizes, spacing_mm = header.dim[1 : 1 + min(axes, 3)], header.pixdim[1 : 1 + min(axes, 3)]
    if not 1 <= axes <= 7 or any(size < 1 for size in sizes):
        raise DataError(f"{path}: the header gives {times(sizes) or 'no'} voxels; export the file again")
    if not all(math.isfinite(size) and size > 0 for size in spacing_mm):
        raise DataError(
            f"{path}: the header gives a voxel of {times(spacing_mm)} mm (pixdim), all must be above 0; "
            "write the true spacing into it, or export the file again"
        )
    for name, matrix in _placements(header).items():
        if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:, :3])) < 1e-12:
            raise DataError(
                f"{path}: the header's {name} puts all voxels into a plane, or nowhere (zeros or NaN); write "
                "the true orientation into it, or export the file again"
            )


def header_note(path: Path, geometry: Geometry) -> str | None:
    """What is doubtful about where ITK places the voxels; None where nothing is.

    Args:
        path: a file that ``check_header`` passed.
        geometry: as ITK reads it.
    """
    placements = _placements(_read_header(path))
    if not placements:
        return (
            "the header does not tell the orientation (qform_code and sform_code are 0), taken as "
            f"{geometry.orientation}; see on an overlay that left is left"
        )
    corners = np.array(list(product(*((0, size - 1) for size in geometry.size))), dtype=float)
    steps_mm = np.reshape(geometry.direction, (3, 3)) * np.array(geometry.spacing_mm)
    itk_mm = corners @ steps_mm.T + geometry.origin_mm
    for name, matrix in placements.items():
        apart_mm = np.abs((corners @ matrix[:, :3].T + matrix[:, 3]) * _LPS - itk_mm).max()
        if apart_mm > _TOLERANCE_VOXELS * min(geometry.spacing_mm):
            return (
                f"the header contradicts itself: its {name} puts voxels up to {apart_mm:.3g} mm from where "
                "they are taken to be; see on an overlay that left is left, or write the true one into both"
            )
    return None


def _read_header(path: Path) -> NiftiHeader:
    start = _start(path)
    if len(start) >= 4 and not {*struct.unpack_from("<i", start), *struct.unpack_from(">i", start)} & {
        *_LENGTHS
    }:
        raise DataError(
            f"{path}: this is no NIfTI file, although its name says so; export the scan as NIfTI, or correct "
            "the name's ending"
        )
    try:
        return NiftiHeader.unpack(start)
    except struct.error:
        raise DataError(
            f"{path}: truncated or damaged (not even a NIfTI header); copy or download the file again"
        ) from None


def _start(path: Path) -> bytes:
    """The first decompressed bytes; fewer where the file ends before."""
    with path.open("rb") as file:
        data = file.read(HEADER_BYTES)
    if not data.startswith(GZIP_MAGIC):
        return data
    if not path.name.lower().endswith(".gz"):
        raise DataError(f"{path}: compressed (gzip), but not named so; rename it to {path.name}.gz")
    with gzip.open(path) as stream:
        try:
            return stream.read(HEADER_BYTES)
        except (EOFError, OSError, zlib.error) as problem:
            raise DataError(
                f"{path}: truncated or damaged ({problem}); copy or download the file again"
            ) from None


def _placements(header: NiftiHeader) -> dict[str, npt.NDArray[np.float64]]:
    """The matrices (3, 4) from voxel to RAS in mm that the header declares."""
    placements = {}
    to_mm = _MILLIMETRES.get(header.units & 7, 1.0)
    if header.sform_code > 0:
        placements["sform"] = np.reshape(header.srow, (3, 4)) * to_mm
    if header.qform_code > 0:
        placements["qform"] = np.column_stack([_qform_steps(header), header.qoffset]) * to_mm
    return placements


def _qform_steps(header: NiftiHeader) -> npt.NDArray[np.float64]:
    """The standard's rotation from a unit quaternion, times the voxel's size."""
    b, c, d = header.quaternion
    a = math.sqrt(max(0.0, 1.0 - (b * b + c * c + d * d)))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    handedness = -1.0 if header.pixdim[0] < 0 else 1.0
    return rotation * np.multiply(header.pixdim[1:4], (1.0, 1.0, handedness))
