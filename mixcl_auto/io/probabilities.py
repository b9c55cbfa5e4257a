"""Probabilities on disk: a NIfTI file per organ, written plane by plane.

A voxel is one byte b that stands for the probability b/255; the header's ``scl_slope`` says so, and ITK,
ITK-SNAP, 3D Slicer and nibabel show the probability itself.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from mixcl_auto.io.files import replacing
from mixcl_auto.io.itk import nifti_bytes, sitk
from mixcl_auto.io.nifti import compressing
from mixcl_auto.records.case import Geometry

__all__ = ["probability_files", "storage_axes"]

_STEPS = 255
_HEADER_BYTES = 352
_DEPTH_AT, _SLOPE_AT, _CALIBRATION_AT = 46, 112, 124
"""Of NIfTI-1's ``dim[3]`` (int16), ``scl_slope`` and ``scl_inter``, ``cal_max`` and ``cal_min`` (float32)."""
_RAS_AXES = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
_DESCENDING = "LPI"


def storage_axes(geometry: Geometry) -> tuple[tuple[int, int, bool], ...]:
    """A file's axes, the slowest in memory first: RAS axis, voxels, and whether it runs against RAS."""
    letters, sizes = reversed(geometry.orientation), reversed(geometry.size)
    return tuple(
        (_RAS_AXES[letter], size, letter in _DESCENDING) for letter, size in zip(letters, sizes, strict=True)
    )


@contextmanager
def probability_files(
    paths: Sequence[Path], geometry: Geometry
) -> Iterator[Callable[[npt.NDArray[np.uint8]], None]]:
    """Write one ``.nii.gz`` per class on a source file's grid, all at once and plane by plane.

    Gives a function that takes the next planes of all files, (files, planes, rows, columns), in steps of
    1/255 and in the order of ``storage_axes``. The files appear when the block ends; if it fails, none does.

    Raises:
        DataError: if ITK can't write such a grid.
    """
    with ExitStack() as stack:
        streams = [stack.enter_context(_stream(path, geometry)) for path in paths]

        def write(planes: npt.NDArray[np.uint8]) -> None:
            for stream, part in zip(streams, planes, strict=True):
                stream.write(np.ascontiguousarray(part).data)

        yield write


@contextmanager
def _stream(path: Path, geometry: Geometry) -> Iterator[IO[bytes]]:
    with replacing(path) as temporary:
        header = _header(path, geometry)
        with compressing(temporary) as stream:
            stream.write(header)
            yield stream


def _header(path: Path, geometry: Geometry) -> bytes:
    """ITK's own header for the grid, with the whole number of slices and the scale of the voxels."""
    two_slices = (*geometry.size[:2], 2)
    image = sitk.Image(two_slices, sitk.sitkUInt8)
    image.SetSpacing(geometry.spacing_mm)
    image.SetOrigin(geometry.origin_mm)
    image.SetDirection(geometry.direction)
    header = bytearray(nifti_bytes(image, path)[:_HEADER_BYTES])
    struct.pack_into("<h", header, _DEPTH_AT, geometry.size[2])
    struct.pack_into("<2f", header, _SLOPE_AT, 1 / _STEPS, 0.0)
    struct.pack_into("<2f", header, _CALIBRATION_AT, 1.0, 0.0)
    return bytes(header)
