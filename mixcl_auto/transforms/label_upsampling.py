"""Class scores on a coarse grid to labels on a fine one, without the scores ever existing on the fine one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.errors import DataError
from mixcl_auto.transforms.grids import check_spacing, linear_neighbours, positions_on
from mixcl_auto.transforms.kernels.argmax_upsampling import blend_planes_argmax, interpolate_last_axis


def upsample_argmax(
    logits: NDArray[Any],
    target_shape: Sequence[int],
    *,
    spacing_mm: Sequence[float] | None = None,
    target_spacing_mm: Sequence[float] | None = None,
) -> NDArray[np.uint8]:
    """Interpolate class scores trilinearly and keep the class with the largest one.

    Works on one x-plane after the other, so that beside the result it needs the memory of three planes of
    scores.

    Args:
        logits: (classes, x, y, z), float32 or float16.
        target_shape: Output voxels along x, y, z.
        spacing_mm: Spacing of the scores' grid. With ``target_spacing_mm``, voxels are placed by their true
            spacings; without both, the two grids are taken to cover the same extent. The sizes of a resampled
            grid are rounded, so its extent differs from the scan's by up to half a voxel: where the spacings
            are known, give them.
        target_spacing_mm: Spacing of the output's grid.

    Returns:
        Labels of ``target_shape``. Ties go to the smallest class, so background wins them. Beyond the
        outermost voxel centres the border's scores are repeated.

    Raises:
        DataError: If the scores are not four-dimensional with 1 to 256 classes, a size is below 1, or only
            one spacing is given.
    """
    steps = _steps(logits, target_shape, spacing_mm, target_spacing_mm)
    (lower_x, fraction_x), (lower_y, fraction_y), (lower_z, fraction_z) = (
        linear_neighbours(n, positions_on(n, m, step))
        for n, m, step in zip(logits.shape[1:], target_shape, steps, strict=True)
    )
    classes, nx, ny, _ = logits.shape
    plane_shape = (classes, ny, int(target_shape[2]))
    # Two neighbouring planes have different parity, so plane x lives at x % 2 until plane x + 2 needs the
    # place.
    planes = np.empty((2, *plane_shape), np.float32)
    held = [-1, -1]
    scratch = np.empty(plane_shape, np.float32)
    weights_y, weights_z = fraction_y.astype(np.float32), fraction_z.astype(np.float32)
    out = np.empty([int(size) for size in target_shape], np.uint8)
    for i, x in enumerate(lower_x.tolist()):
        upper = min(x + 1, nx - 1)
        for index in (x, upper):
            if held[index % 2] != index:
                plane = np.ascontiguousarray(logits[:, index], np.float32)
                interpolate_last_axis(plane, lower_z, weights_z, planes[index % 2])
                held[index % 2] = index
        below, above = planes[x % 2], planes[upper % 2]
        blend_planes_argmax(below, above, np.float32(fraction_x[i]), lower_y, weights_y, scratch, out[i])
    return out


def _steps(
    logits: NDArray[Any],
    target_shape: Sequence[int],
    spacing_mm: Sequence[float] | None,
    target_spacing_mm: Sequence[float] | None,
) -> list[float]:
    """Check the arguments and return the output's spacing in voxels of the scores' grid."""
    if logits.ndim != 4 or logits.size == 0 or logits.shape[0] > 256:
        raise DataError(f"logits must be (1 to 256 classes, x, y, z), got shape {logits.shape}")
    if len(target_shape) != 3 or min(target_shape) < 1:
        raise DataError(f"target_shape must be three sizes of at least 1, got {tuple(target_shape)}")
    if spacing_mm is None and target_spacing_mm is None:
        return [n / m for n, m in zip(logits.shape[1:], target_shape, strict=True)]
    if spacing_mm is None or target_spacing_mm is None:
        raise DataError("spacing_mm and target_spacing_mm must be given together, or neither")
    source = check_spacing(spacing_mm, "spacing_mm")
    target = check_spacing(target_spacing_mm, "target_spacing_mm")
    return [t / s for s, t in zip(source, target, strict=True)]
