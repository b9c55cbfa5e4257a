"""A smooth displacement field as a cubic B-spline over a coarse grid of control points."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def control_shape(patch_size: Sequence[int], control_spacing_voxels: float) -> tuple[int, int, int]:
    """Return how many control points cover a patch along each axis.

    Args:
        patch_size: Voxels along x, y, z.
        control_spacing_voxels: Distance between control points.
    """
    counts = [_intervals(size, control_spacing_voxels) + 3 for size in patch_size]
    return counts[0], counts[1], counts[2]


def axis_basis(
    size: int, control_spacing_voxels: float, voxels: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Evaluate the B-splines that act on the voxels of one axis; the control grid is centred on the patch.

    Args:
        size: Voxels of the patch along the axis.
        control_spacing_voxels: Distance between control points.
        voxels: Which voxels; all without it.

    Returns:
        The first of the four control points acting on each voxel, (n,), and their weights, (n, 4), which sum
        to 1.
    """
    places = np.arange(size) if voxels is None else voxels
    intervals = _intervals(size, control_spacing_voxels)
    position = (places - (size - 1) / 2) / control_spacing_voxels + intervals / 2
    knots = np.clip(np.floor(position), 0, intervals - 1).astype(np.int64)
    f = position - knots
    basis = [(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3]
    return knots, np.stack(basis, axis=1) / 6.0


def displacement_on_lattice(
    control: NDArray[np.float64],
    patch_size: Sequence[int],
    control_spacing_voxels: float,
    lattice: Sequence[NDArray[np.int64]],
) -> NDArray[np.float64]:
    """Evaluate the field on a lattice of the patch's voxels.

    Args:
        control: (a, b, c, 3), of ``control_shape``.
        patch_size: Voxels along x, y, z.
        control_spacing_voxels: Distance between control points.
        lattice: Which voxels along each axis.

    Returns:
        (x, y, z, 3), in the control points' unit.
    """
    field = control
    for axis, (size, voxels) in enumerate(zip(patch_size, lattice, strict=True)):
        knots, basis = axis_basis(size, control_spacing_voxels, voxels)
        weights = np.zeros((voxels.size, control.shape[axis]))
        np.put_along_axis(weights, knots[:, None] + np.arange(4), basis, axis=1)
        field = np.moveaxis(np.tensordot(weights, field, axes=(1, axis)), 0, axis)
    return field


def excess_between(
    control: NDArray[np.float64], control_spacing_voxels: float, step_voxels: float
) -> NDArray[np.float64]:
    """Bound how far the field can exceed its values on a lattice, between the lattice's points.

    A function differs from its multilinear interpolation by at most h^2 / 8 times the sum over the axes of
    its largest second derivative; that of a cubic B-spline is at most the largest second difference of its
    control points over their squared distance.

    Args:
        control: (a, b, c, 3).
        control_spacing_voxels: Distance between control points.
        step_voxels: Distance h between lattice points.

    Returns:
        One bound for each component, (3,).
    """
    curvature = sum(np.abs(np.diff(control, 2, axis=axis)).max(axis=(0, 1, 2)) for axis in range(3))
    return np.asarray(curvature * (step_voxels / control_spacing_voxels) ** 2 / 8.0, np.float64)


def _intervals(size: int, control_spacing_voxels: float) -> int:
    """Return the intervals between control points that an axis's voxel centres fall into."""
    return max(1, math.ceil((size - 1) / control_spacing_voxels - 1e-9))
