"""From a file's voxel axes (i, j, k), which point anywhere, to RAS and back."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mixcl_auto.io.itk import Array
from mixcl_auto.records.case import Geometry

_TOWARDS_POSITIVE = "RAS"
_TOWARDS_NEGATIVE = "LPI"
_COPY_BLOCK = (64, 16)


def ras_geometry(shape: tuple[int, ...], spacing_mm: tuple[float, float, float]) -> Geometry:
    """The grid of a RAS array whose first voxel's centre is the origin."""
    x, y, z = shape
    direction = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
    return Geometry(
        size=(x, y, z),
        spacing_mm=spacing_mm,
        origin_mm=(0.0, 0.0, 0.0),
        direction=direction,
        orientation="RAS",
    )


def ras_shape(geometry: Geometry) -> tuple[int, int, int]:
    """The shape (x, y, z) that the file has once it is in RAS."""
    x, y, z = (geometry.size[axis] for axis in _file_axes(geometry.orientation))
    return (x, y, z)


def ras_spacing_mm(geometry: Geometry) -> tuple[float, float, float]:
    """The file's spacing in the order of the RAS array's axes."""
    x, y, z = (geometry.spacing_mm[axis] for axis in _file_axes(geometry.orientation))
    return (x, y, z)


def spacing_drift_voxels(
    size: Sequence[int], spacing_mm: Sequence[float], other_mm: Sequence[float]
) -> float:
    """How far apart two spacings put a voxel of one scan, at most, in voxels of the first."""
    voxel_mm = np.array(spacing_mm)
    return float((np.abs(voxel_mm - other_mm) * size / voxel_mm).max())


def corners_mm(geometry: Geometry) -> npt.NDArray[np.float64]:
    """Where the centres of the eight corner voxels lie in ITK's space, (8, 3), in the RAS array's order."""
    corners = np.indices((2, 2, 2)).reshape(3, -1) * np.subtract(geometry.size, 1)[:, None]
    steps_mm = np.reshape(geometry.direction, (3, 3)) * np.array(geometry.spacing_mm)
    positions = np.array(geometry.origin_mm)[:, None] + steps_mm @ corners
    return np.stack([to_ras(axis.reshape(2, 2, 2), geometry).ravel() for axis in positions], axis=1)


def to_ras(array_ijk: Array, geometry: Geometry, *, contiguous: bool = True) -> Array:
    """Turn a file's array (i, j, k) into a RAS array: axes permuted and flipped, values kept.

    C-contiguous, or, where that is not needed, a view.
    """
    array = ras_view(array_ijk, geometry)
    return contiguous_copy(array) if contiguous else array


def from_ras(array_ras: Array, geometry: Geometry) -> Array:
    """Undo ``to_ras``: a contiguous array (k, j, i), as ITK lays it out, on the file's grid."""
    axes = _file_axes(geometry.orientation)
    flips = tuple(slice(None, None, _step(geometry.orientation[axis])) for axis in axes)
    array_ijk = array_ras[flips].transpose(np.argsort(axes))
    return contiguous_copy(array_ijk.transpose(2, 1, 0))


def ras_view(array_ijk: Array, geometry: Geometry) -> Array:
    """``to_ras`` without copying."""
    axes = _file_axes(geometry.orientation)
    flips = tuple(slice(None, None, _step(geometry.orientation[axis])) for axis in axes)
    return array_ijk.transpose(axes)[flips]


def _file_axes(orientation: str) -> tuple[int, int, int]:
    """For the RAS axes x, y, z: which axis of the file runs along them."""
    along = [
        (_TOWARDS_POSITIVE if letter in _TOWARDS_POSITIVE else _TOWARDS_NEGATIVE).index(letter)
        for letter in orientation
    ]
    return (along.index(0), along.index(1), along.index(2))


def _step(letter: str) -> int:
    return 1 if letter in _TOWARDS_POSITIVE else -1


def contiguous_copy(view: Array) -> Array:
    """Copy block by block: twice as fast as one transposing copy, which misses the CPU's caches."""
    if view.flags.c_contiguous:
        return view.copy()
    result = np.empty(view.shape, view.dtype)
    rows, columns = _COPY_BLOCK
    for i in range(0, view.shape[0], rows):
        for j in range(0, view.shape[1], columns):
            result[i : i + rows, j : j + columns] = view[i : i + rows, j : j + columns]
    return result
