"""Resampling of images (cubic B-spline) and label maps (linear argmax) to another spacing, extents aligned.

nnU-Net resamples with the same kinds of interpolation through skimage, class by class for labels. Here each
is a few passes of a compiled kernel, and the z axis gets the same interpolation as the others.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.errors import DataError
from mixcl_auto.transforms.grids import (
    check_spacing,
    check_volume,
    in_memory_order,
    linear_neighbours,
    positions_on,
    same_spacing,
    slab_by_slab,
)
from mixcl_auto.transforms.kernels.axis_resampling import weigh_last_axis, weigh_middle_axis
from mixcl_auto.transforms.kernels.label_resampling import resample_labels_linear_argmax
from mixcl_auto.transforms.spline_weights import BandedWeights, cubic_spline_weights

# What reading a voxel costs beside one multiplication of a pass; decides ties between orders of the axes.
_READ_COST = 8
_LABEL_SLAB = 16

Finish = Callable[[NDArray[np.float32]], NDArray[Any]]
"""Works on each voxel by itself."""


def resampled_shape(
    shape: Sequence[int], spacing_mm: Sequence[float], target_spacing_mm: Sequence[float]
) -> tuple[int, int, int]:
    """Return the size of a grid at another spacing: max(1, round(n s / t)) along each axis.

    Args:
        shape: Voxels along x, y, z.
        spacing_mm: Spacing s.
        target_spacing_mm: Spacing t.

    Raises:
        DataError: If a spacing is not three positive lengths.
    """
    source = check_spacing(spacing_mm, "spacing_mm")
    target = check_spacing(target_spacing_mm, "target_spacing_mm")
    sizes = [max(1, round(n * s / t)) for n, s, t in zip(shape, source, target, strict=True)]
    return sizes[0], sizes[1], sizes[2]


def resample_image(
    image: NDArray[Any],
    spacing_mm: Sequence[float],
    target_spacing_mm: Sequence[float],
    *,
    finish: Finish | None = None,
    threads: int = 1,
) -> NDArray[Any]:
    """Resample an image by cubic B-spline interpolation, mirrored about the outermost voxel centres.

    Equal to ``scipy.ndimage.map_coordinates(order=3, mode="mirror")`` to float32's rounding, the border
    included. Axes whose spacing stays as it is are left alone. There is no smoothing before down-sampling, as
    in nnU-Net.

    Args:
        image: (x, y, z), of any real type; int16 and float32 are read as they are, in any memory order.
        spacing_mm: Spacing of the image.
        target_spacing_mm: Spacing wanted.
        finish: What becomes of the resampled values, slab by slab; they stay as they are if absent.
        threads: That share the work; the result does not depend on their number.

    Returns:
        A new C-contiguous volume of size ``resampled_shape(...)``: float32, or what ``finish`` gives.

    Raises:
        DataError: If the image is not a volume or a spacing not three positive lengths.
    """
    check_volume(image, "image")
    shape = resampled_shape(image.shape, spacing_mm, target_spacing_mm)
    return resample_image_to_shape(
        image, spacing_mm, target_spacing_mm, shape, finish=finish, threads=threads
    )


def resample_image_to_shape(
    image: NDArray[Any],
    spacing_mm: Sequence[float],
    target_spacing_mm: Sequence[float],
    shape: Sequence[int],
    *,
    finish: Finish | None = None,
    threads: int = 1,
) -> NDArray[Any]:
    """Resample an image as ``resample_image`` does, onto a grid of known size.

    The way back to a scan's own grid needs this: rounding sizes twice does not always return to the first
    one.

    Args:
        image: (x, y, z), of any real type.
        spacing_mm: Spacing of the image.
        target_spacing_mm: Spacing wanted.
        shape: Output voxels along x, y, z. Voxels beyond the image's extent repeat its border.
        finish: As in ``resample_image``.
        threads: Likewise.

    Returns:
        A new C-contiguous volume of that shape.

    Raises:
        DataError: If the image is not a volume, a spacing not three positive lengths, or a size below 1.
    """
    check_volume(image, "image")
    grids = _axis_positions(image.shape, spacing_mm, target_spacing_mm, shape)
    if image.dtype not in (np.int16, np.float32):
        image = image.astype(np.float32)
    weights = [
        None if grid is None else cubic_spline_weights(n, grid)
        for n, grid in zip(image.shape, grids, strict=True)
    ]
    return in_memory_order(image, weights, partial(_weigh_axes, finish=finish or _as_it_is, threads=threads))


def resample_labels(
    labels: NDArray[Any], spacing_mm: Sequence[float], target_spacing_mm: Sequence[float]
) -> NDArray[Any]:
    """Resample a label map: each voxel takes the label with the largest trilinear weight around it.

    The same as interpolating every label's mask linearly and taking the argmax. Ties go to the smallest
    label; beyond the outermost voxel centres the border is repeated.

    Args:
        labels: (x, y, z), of an integer type, any values, in any memory order.
        spacing_mm: Spacing of the label map.
        target_spacing_mm: Spacing wanted.

    Returns:
        A new C-contiguous volume of the same type and of size ``resampled_shape(...)``.

    Raises:
        DataError: If the labels are not a volume of integers or a spacing not three positive lengths.
    """
    check_volume(labels, "labels")
    shape = resampled_shape(labels.shape, spacing_mm, target_spacing_mm)
    return resample_labels_to_shape(labels, spacing_mm, target_spacing_mm, shape)


def resample_labels_to_shape(
    labels: NDArray[Any],
    spacing_mm: Sequence[float],
    target_spacing_mm: Sequence[float],
    shape: Sequence[int],
) -> NDArray[Any]:
    """Resample a label map as ``resample_labels`` does, onto a grid of known size.

    Args:
        labels: (x, y, z), of an integer type.
        spacing_mm: Spacing of the label map.
        target_spacing_mm: Spacing wanted.
        shape: Output voxels along x, y, z. Voxels beyond the label map's extent repeat its border.

    Returns:
        A new C-contiguous volume of that shape and the labels' type.

    Raises:
        DataError: If the labels are not a volume of integers, a spacing not three positive lengths, or a size
            below 1.
    """
    check_volume(labels, "labels")
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"labels must be integers, got {labels.dtype}; convert the label map first")
    grids = _axis_positions(labels.shape, spacing_mm, target_spacing_mm, shape)
    if all(grid is None for grid in grids):
        return np.array(labels, order="C")
    neighbours = [
        linear_neighbours(n, np.arange(n, dtype=np.float64) if grid is None else grid)
        for n, grid in zip(labels.shape, grids, strict=True)
    ]
    return in_memory_order(labels, neighbours, _linear_argmax)


def _axis_positions(
    old_shape: Sequence[int],
    spacing_mm: Sequence[float],
    target_spacing_mm: Sequence[float],
    shape: Sequence[int],
) -> list[NDArray[np.float64] | None]:
    """Return each axis's output positions on the input grid; None where the grid stays as it is."""
    source = check_spacing(spacing_mm, "spacing_mm")
    target = check_spacing(target_spacing_mm, "target_spacing_mm")
    if len(shape) != 3 or min(shape) < 1:
        raise DataError(f"shape must be three sizes of at least 1, got {tuple(shape)}")
    return [
        None if n == m and same_spacing(s, t) else positions_on(n, m, t / s)
        for n, m, s, t in zip(old_shape, shape, source, target, strict=True)
    ]


def _as_it_is(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values


def _weigh_axes(
    image: NDArray[Any], weights: Sequence[BandedWeights | None], *, finish: Finish, threads: int
) -> NDArray[Any]:
    """Apply the axes' weights one after the other, in the order that costs least."""
    wanted = [(axis, banded) for axis, banded in enumerate(weights) if banded is not None]
    if not wanted:
        return slab_by_slab(image, 0, lambda slab: finish(slab.astype(np.float32)), threads=threads)
    *first, last = min(permutations(wanted), key=lambda order: _cost(image.shape, order))
    if first:
        image = slab_by_slab(image, last[0], lambda slab: _weigh_each(slab, first), threads=threads)
    axis = 1 if last[0] == 0 else 0
    return slab_by_slab(image, axis, lambda slab: finish(_weigh_each(slab, [last])), threads=threads)


def _weigh_each(slab: NDArray[Any], passes: Sequence[tuple[int, BandedWeights]]) -> NDArray[np.float32]:
    for axis, banded in passes:
        slab = _weigh_axis(slab, axis, banded)
    return slab


def _cost(shape: Sequence[int], order: Sequence[tuple[int, BandedWeights]]) -> int:
    """Estimate the work of passes along axes in a given order."""
    sizes = list(shape)
    cost = 0
    for axis, banded in order:
        outputs, taps = banded.weights.shape
        lines = sizes[0] * sizes[1] * sizes[2] // sizes[axis]
        cost += lines * (outputs * taps + sizes[axis] * _READ_COST)
        sizes[axis] = outputs
    return cost


def _weigh_axis(image: NDArray[Any], axis: int, banded: BandedWeights) -> NDArray[np.float32]:
    """Apply one axis's weights to a C-contiguous volume."""
    shape = list(image.shape)
    shape[axis] = banded.starts.size
    out = np.empty(shape, np.float32)
    if axis == 2:
        rows = image.reshape(-1, image.shape[2])
        weigh_last_axis(rows, banded.starts, banded.weights, out.reshape(-1, shape[2]))
        return out
    outer = 1 if axis == 0 else shape[0]
    lines = image.reshape(outer, image.shape[axis], -1)
    weigh_middle_axis(lines, banded.starts, banded.weights, out.reshape(outer, shape[axis], -1))
    return out


def _linear_argmax(
    labels: NDArray[Any], axes: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]]
) -> NDArray[Any]:
    """Run the label kernel on a volume with its axes in the order of memory, slab by slab."""
    out = np.empty([lower.size for lower, _ in axes], labels.dtype)
    (lower_x, fraction_x), (lower_y, fraction_y), (lower_z, fraction_z) = axes
    for start in range(0, lower_x.size, _LABEL_SLAB):
        part = slice(start, start + _LABEL_SLAB)
        first, last = lower_x[part][0], lower_x[part][-1]
        slab = labels[first : last + 2].copy(order="C")
        lower = lower_x[part] - first
        resample_labels_linear_argmax(
            slab, lower, fraction_x[part], lower_y, fraction_y, lower_z, fraction_z, out[part]
        )
    return out
