"""Where the voxels of one grid lie on another, and the memory order in which volumes are worked on."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.errors import DataError
from mixcl_auto.transforms.kernels.layout import reverse_axes

# Relative difference below which two spacings are one: headers store them as float32, and over 1000 voxels
# this moves a voxel by a hundredth of its size.
SPACING_TOLERANCE = 1e-5

_SLAB_VOXELS = 2**20
_LEAST_ROW = 32
"""Voxels that are copied at once along the fastest axis: a cache line or more."""


def check_volume(volume: NDArray[Any], name: str) -> None:
    """Refuse an array that is not a volume.

    Args:
        volume: Expected to be (x, y, z) without an empty axis.
        name: What the array is, for the message.

    Raises:
        DataError: If it has another number of axes or no voxels.
    """
    if volume.ndim != 3 or volume.size == 0:
        raise DataError(
            f"{name} must be a volume (x, y, z) with at least one voxel, got shape {volume.shape}"
        )


def check_spacing(spacing_mm: Sequence[float], name: str) -> tuple[float, float, float]:
    """Refuse a spacing that no grid can have.

    Args:
        spacing_mm: Expected to be three positive lengths.
        name: What the spacing is, for the message.

    Returns:
        The three lengths as plain floats.

    Raises:
        DataError: If it is anything else.
    """
    values = [float(value) for value in spacing_mm]
    if len(values) != 3 or not all(math.isfinite(value) and value > 0.0 for value in values):
        raise DataError(
            f"{name} must be three positive lengths in mm, got {values}; correct the image's header"
        )
    return values[0], values[1], values[2]


def same_spacing(first_mm: float, second_mm: float) -> bool:
    """Tell whether two spacings differ by no more than a header's rounding."""
    return math.isclose(first_mm, second_mm, rel_tol=SPACING_TOLERANCE)


def positions_on(size: int, count: int, step: float) -> NDArray[np.float64]:
    """Place an axis's output voxels on its input grid, extents aligned.

    Voxel i of spacing s covers [i s, (i + 1) s), so output voxel j of spacing t has its centre at
    (j + 1/2) t / s - 1/2 in units of input voxels.

    Args:
        size: Input voxels.
        count: Output voxels.
        step: t / s, the output spacing in input voxels.

    Returns:
        (count,), clipped to the input's extent [-1/2, size - 1/2], which the last output voxel's centre can
        leave where the extents are no multiples of both spacings.
    """
    centres = (np.arange(count, dtype=np.float64) + 0.5) * step - 0.5
    return np.clip(centres, -0.5, size - 0.5)


def linear_neighbours(
    size: int, positions: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Split positions into a lower neighbour and the upper one's weight, clamped to the voxel centres.

    Args:
        size: Voxels of the axis.
        positions: In voxels.

    Returns:
        Indices in [0, size) and weights in [0, 1), each as long as ``positions``.
    """
    clamped = np.clip(positions, 0.0, size - 1.0)
    lower = np.floor(clamped).astype(np.int64)
    return lower, clamped - lower


def in_memory_order(
    volume: NDArray[Any],
    axes: Sequence[Any],
    work: Callable[[NDArray[Any], Sequence[Any]], NDArray[Any]],
) -> NDArray[Any]:
    """Run a per-axis operation so that it meets a volume whose last axis is the nearest in memory.

    A volume read from a file is a view with permuted and flipped axes. Copying it costs as much as resampling
    it; turning the axes round, and the smaller result back, does not.

    Args:
        volume: (x, y, z), in any memory order.
        axes: What the operation needs for x, y and z.
        work: The operation, given the volume with its axes in the order of memory, the slowest first, and
            what it needs in that order. The volume may still be flipped along an axis.

    Returns:
        The operation's result, (x, y, z), C-contiguous.
    """
    slowest_first = sorted(range(3), key=lambda axis: -abs(volume.strides[axis]))
    result = work(volume.transpose(slowest_first), [axes[axis] for axis in slowest_first])
    if slowest_first == [2, 1, 0]:
        turned: NDArray[Any] = reverse_axes(np.ascontiguousarray(result))
        return turned
    return np.ascontiguousarray(result.transpose(np.argsort(slowest_first)))


def slab_by_slab(
    volume: NDArray[Any], axis: int, work: Callable[[NDArray[Any]], NDArray[Any]], *, threads: int = 1
) -> NDArray[Any]:
    """Run an operation on thin slabs, so that what it makes on the way stays in the CPU's cache.

    Args:
        volume: (x, y, z), in any memory order.
        axis: Along which the volume is cut, and which the operation leaves as it is.
        work: The operation, given C-contiguous copies that it may write to.
        threads: That share the slabs; worth more than one where ``work`` lets go of Python's lock.

    Returns:
        The operation's results in one volume, C-contiguous.
    """
    if volume.size == 0:
        raise ValueError(f"volume must not be empty, got shape {volume.shape}")
    size = volume.shape[axis]
    least = _LEAST_ROW if axis == 2 else 1
    thickness = max(least, _SLAB_VOXELS * size // volume.size)
    windows = [
        (*[slice(None)] * axis, slice(start, start + thickness)) for start in range(0, size, thickness)
    ]
    done = work(volume[windows[0]].copy(order="C"))
    result = np.empty((*done.shape[:axis], size, *done.shape[axis + 1 :]), done.dtype)
    result[windows[0]] = done

    def fill(window: tuple[slice, ...]) -> None:
        result[window] = work(volume[window].copy(order="C"))

    with ThreadPoolExecutor(threads) if threads > 1 else nullcontext() as pool:
        list((pool.map if pool else map)(fill, windows[1:]))
    return result
