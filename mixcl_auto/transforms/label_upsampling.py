"""Class scores on a coarse grid to labels on a fine one, without the scores ever existing on the fine one."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.errors import DataError
from mixcl_auto.transforms.grids import check_spacing, linear_neighbours, positions_on
from mixcl_auto.transforms.kernels.argmax_upsampling import (
    blend_rows_argmax,
    interpolate_rows,
    largest_class,
    shared_classes,
)
from mixcl_auto.transforms.shared_planes import share_planes


def argmax_classes(scores: NDArray[Any], *, threads: int = 1) -> NDArray[np.uint8]:
    """Keep the class with the largest score.

    Args:
        scores: (classes, x, y, z) with 1 to 256 classes, float32 or float16, in any memory order.
        threads: That share the x-planes; the result does not depend on it.

    Returns:
        Labels (x, y, z). Ties go to the smallest class, so background wins them.

    Raises:
        DataError: If the scores have another shape.
    """
    _check_scores(scores)
    out = np.empty(scores.shape[1:], np.uint8)

    def label(planes: range) -> None:
        for x in planes:
            largest_class(_plane(scores, x), out[x])

    share_planes(label, len(out), threads)
    return out


def upsample_argmax(
    logits: NDArray[Any],
    target_shape: Sequence[int],
    *,
    spacing_mm: Sequence[float] | None = None,
    target_spacing_mm: Sequence[float] | None = None,
    threads: int = 1,
) -> NDArray[np.uint8]:
    """Interpolate class scores trilinearly and keep the class with the largest one.

    Works on one x-plane after the other, so that beside the result it needs the memory of two planes of
    scores per thread.

    Args:
        logits: (classes, x, y, z), float32 or float16, in any memory order.
        target_shape: Output voxels along x, y, z.
        spacing_mm: Spacing of the scores' grid. With ``target_spacing_mm``, voxels are placed by their true
            spacings; without both, the two grids are taken to cover the same extent. The sizes of a resampled
            grid are rounded, so its extent differs from the scan's by up to half a voxel: where the spacings
            are known, give them.
        target_spacing_mm: Spacing of the output's grid.
        threads: That share the output's planes; the result does not depend on it.

    Returns:
        Labels of ``target_shape``. Ties go to the smallest class, so background wins them. Beyond the
        outermost voxel centres the border's scores are repeated.

    Raises:
        DataError: If the scores are not four-dimensional with 1 to 256 classes, a size is below 1, or only
            one spacing is given.
    """
    steps = _steps(logits, target_shape, spacing_mm, target_spacing_mm)
    axes = [
        _Axis(lower, fraction.astype(np.float32))
        for lower, fraction in (
            linear_neighbours(n, positions_on(n, m, step))
            for n, m, step in zip(logits.shape[1:], target_shape, steps, strict=True)
        )
    ]
    out = np.empty([int(size) for size in target_shape], np.uint8)
    share_planes(lambda planes: _upsample_planes(logits, axes, planes, out), len(out), threads)
    return out


class _Axis(NamedTuple):
    """Lower neighbours of an axis's output voxels, and the weights of the upper ones."""

    lower: NDArray[np.int64]
    fraction: NDArray[np.float32]


def _upsample_planes(
    logits: NDArray[Any], axes: Sequence[_Axis], numbers: range, out: NDArray[np.uint8]
) -> None:
    """Fill the output's x-planes of these ascending numbers."""
    x_axis, y_axis, z_axis = axes
    classes, nx, ny, nz = logits.shape
    # Two neighbouring planes have different parity, so plane x lives at x % 2 until plane x + 2 needs the
    # place.
    rows = np.empty((2, classes, ny, z_axis.lower.size), np.float32)
    ready, mixed = np.zeros((2, ny), np.bool_), np.empty(ny, np.bool_)
    winners, shared = np.empty((2, ny, nz), np.uint8), np.empty((ny, nz), np.int16)
    held, pair = [-1, -1], (-1, -1)
    for i in numbers:
        lower = int(x_axis.lower[i])
        upper = min(lower + 1, nx - 1)
        below, above = lower % 2, upper % 2
        if pair != (lower, upper):
            pair = (lower, upper)
            for index in set(pair) - set(held):
                largest_class(_plane(logits, index), winners[index % 2])
                held[index % 2], ready[index % 2] = index, False
            shared_classes(winners[below], winners[above], shared, mixed)
            for index in pair:
                interpolate_rows(_plane(logits, index), mixed, ready[index % 2], *z_axis, rows[index % 2])
        blend_rows_argmax(rows[below], rows[above], shared, x_axis.fraction[i], *y_axis, z_axis.lower, out[i])


def _plane(logits: NDArray[Any], x: int) -> NDArray[np.float32]:
    """The scores of one x-plane, of the one type that the kernels are compiled for."""
    return logits[:, x].astype(np.float32, copy=False)


def _steps(
    logits: NDArray[Any],
    target_shape: Sequence[int],
    spacing_mm: Sequence[float] | None,
    target_spacing_mm: Sequence[float] | None,
) -> list[float]:
    """Check the arguments and return the output's spacing in voxels of the scores' grid."""
    _check_scores(logits)
    if len(target_shape) != 3 or min(target_shape) < 1:
        raise DataError(f"target_shape must be three sizes of at least 1, got {tuple(target_shape)}")
    if spacing_mm is None and target_spacing_mm is None:
        return [n / m for n, m in zip(logits.shape[1:], target_shape, strict=True)]
    if spacing_mm is None or target_spacing_mm is None:
        raise DataError("spacing_mm and target_spacing_mm must be given together, or neither")
    source = check_spacing(spacing_mm, "spacing_mm")
    target = check_spacing(target_spacing_mm, "target_spacing_mm")
    return [t / s for s, t in zip(source, target, strict=True)]


def _check_scores(scores: NDArray[Any]) -> None:
    """Refuse scores of another shape than (1 to 256 classes, x, y, z)."""
    if scores.ndim != 4 or scores.size == 0 or scores.shape[0] > 256:
        raise DataError(f"logits must be (1 to 256 classes, x, y, z), got shape {scores.shape}")
