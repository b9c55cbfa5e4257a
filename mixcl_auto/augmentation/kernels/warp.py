"""An affine and elastic warp of image, labels and distance in one pass."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def _blend_plane(
    plane: NDArray[np.float64],
    control: NDArray[np.float64],
    first: int,
    basis: NDArray[np.float64],
) -> None:
    """Sum the four layers of control points that act on one x, (3, b, c), or on one y, (3, c)."""
    plane[:] = 0.0
    for tap in range(4):
        layer = control[first + tap]
        for place in np.ndindex(plane.shape):
            plane[place] += basis[tap] * layer[place]


@njit(cache=True, nogil=True)
def _row_positions(
    start: NDArray[np.float64],
    step: NDArray[np.float64],
    line: NDArray[np.float64],
    knots: NDArray[np.int64],
    basis: NDArray[np.float64],
    positions: NDArray[np.float64],
) -> None:
    """Set where the voxels of a row along z come from, (3, z), in voxels of the region."""
    size = positions.shape[1]
    first = 0
    while first < size:
        k = knots[first]
        end = first + 1
        while end < size and knots[end] == k:
            end += 1
        b0, b1 = basis[0, first:end], basis[1, first:end]
        b2, b3 = basis[2, first:end], basis[3, first:end]
        for axis in range(3):
            c0, c1, c2, c3 = line[axis, k], line[axis, k + 1], line[axis, k + 2], line[axis, k + 3]
            places = positions[axis, first:end]
            straight, slope = start[axis] + step[axis] * first, step[axis]
            for z in range(end - first):
                bend = (b0[z] * c0 + b1[z] * c1) + (b2[z] * c2 + b3[z] * c3)
                places[z] = straight + slope * z + bend
        first = end


@njit(cache=True, nogil=True)
def _split_row(
    positions: NDArray[np.float64],
    shape: tuple[int, int, int],
    lower: NDArray[np.int64],
    fraction: NDArray[np.float32],
    nearest: NDArray[np.int64],
) -> bool:
    """Split positions into lower neighbours, fractions and nearest voxels, each (3, z).

    Returns:
        Whether all neighbours of the whole row lie in the region.
    """
    outside = np.int64(0)
    for axis in range(3):
        last = shape[axis] - 1
        for z in range(positions.shape[1]):
            below = np.floor(positions[axis, z])
            rest = positions[axis, z] - below
            index = np.int64(below)
            lower[axis, z] = index
            fraction[axis, z] = np.float32(rest)
            nearest[axis, z] = index + np.int64(rest >= 0.5)
            outside |= np.int64(index < 0) | np.int64(index >= last)
    return bool(outside == 0)


@njit(cache=True, nogil=True)
def _read_row_inside(
    image: NDArray[Any],
    labels: NDArray[Any],
    codes: NDArray[np.uint8],
    table: NDArray[np.float32],
    lower: NDArray[np.int64],
    fraction: NDArray[np.float32],
    nearest: NDArray[np.int64],
    out_image: NDArray[np.float32],
    out_labels: NDArray[Any],
    out_distance: NDArray[np.float32],
) -> None:
    """Fill a row whose neighbours all lie in the region."""
    ny, nz = image.shape[1], image.shape[2]
    flat_image, flat_labels, flat_codes = image.reshape(-1), labels.reshape(-1), codes.reshape(-1)
    # Unsigned indices spare a test for negative ones at every read.
    one_z, one_y, one_x = np.uintp(1), np.uintp(nz), np.uintp(ny * nz)
    for z in range(out_image.size):
        fx, fy, fz = fraction[0, z], fraction[1, z], fraction[2, z]
        out_labels[z] = flat_labels[np.uintp((nearest[0, z] * ny + nearest[1, z]) * nz + nearest[2, z])]
        i00 = np.uintp((lower[0, z] * ny + lower[1, z]) * nz + lower[2, z])
        i01, i10 = i00 + one_y, i00 + one_x
        i11 = i10 + one_y
        v00, w00 = np.float32(flat_image[i00]), np.float32(flat_image[i00 + one_z])
        v01, w01 = np.float32(flat_image[i01]), np.float32(flat_image[i01 + one_z])
        v10, w10 = np.float32(flat_image[i10]), np.float32(flat_image[i10 + one_z])
        v11, w11 = np.float32(flat_image[i11]), np.float32(flat_image[i11 + one_z])
        low = v00 + fz * (w00 - v00)
        low += fy * (v01 + fz * (w01 - v01) - low)
        high = v10 + fz * (w10 - v10)
        high += fy * (v11 + fz * (w11 - v11) - high)
        out_image[z] = low + fx * (high - low)
        v00, w00 = table[flat_codes[i00]], table[flat_codes[i00 + one_z]]
        v01, w01 = table[flat_codes[i01]], table[flat_codes[i01 + one_z]]
        v10, w10 = table[flat_codes[i10]], table[flat_codes[i10 + one_z]]
        v11, w11 = table[flat_codes[i11]], table[flat_codes[i11 + one_z]]
        low = v00 + fz * (w00 - v00)
        low += fy * (v01 + fz * (w01 - v01) - low)
        high = v10 + fz * (w10 - v10)
        high += fy * (v11 + fz * (w11 - v11) - high)
        out_distance[z] = low + fx * (high - low)


@njit(cache=True, nogil=True)
def _read_row_at_border(
    image: NDArray[Any],
    labels: NDArray[Any],
    codes: NDArray[np.uint8],
    table: NDArray[np.float32],
    lower: NDArray[np.int64],
    fraction: NDArray[np.float32],
    nearest: NDArray[np.int64],
    padding: np.float32,
    out_image: NDArray[np.float32],
    out_labels: NDArray[Any],
    out_distance: NDArray[np.float32],
) -> None:
    """Fill a row of which some neighbours lie outside the region."""
    nx, ny, nz = image.shape
    one = np.float32(1.0)
    for i in range(out_image.size):
        x, y, z = nearest[0, i], nearest[1, i], nearest[2, i]
        out_labels[i] = labels[x, y, z] if 0 <= x < nx and 0 <= y < ny and 0 <= z < nz else 0
        value, distance = np.float32(0.0), np.float32(0.0)
        for neighbour in range(8):
            up_x, up_y, up_z = neighbour & 1, (neighbour >> 1) & 1, neighbour >> 2
            x, y, z = lower[0, i] + up_x, lower[1, i] + up_y, lower[2, i] + up_z
            weight = fraction[0, i] if up_x else one - fraction[0, i]
            weight *= fraction[1, i] if up_y else one - fraction[1, i]
            weight *= fraction[2, i] if up_z else one - fraction[2, i]
            if 0 <= x < nx and 0 <= y < ny and 0 <= z < nz:
                value += weight * np.float32(image[x, y, z])
                distance += weight * table[codes[x, y, z]]
            else:
                value += weight * padding
        out_image[i], out_distance[i] = value, distance


@njit(cache=True, nogil=True)
def warp_patch(
    image: NDArray[Any],
    labels: NDArray[Any],
    codes: NDArray[np.uint8],
    table: NDArray[np.float32],
    matrix: NDArray[np.float64],
    start: NDArray[np.float64],
    control: NDArray[np.float64],
    knots: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    basis: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    padding: np.float32,
    out_image: NDArray[np.float32],
    out_labels: NDArray[Any],
    out_distance: NDArray[np.float32],
) -> None:
    """Fill a patch whose voxel j comes from ``start + matrix j + displacement(j)``.

    Args:
        image: Region of the scan, (x, y, z), C-contiguous; read linearly.
        labels: Its labels; read at the nearest voxel, halves upwards.
        codes: Its coded distances; decoded, then read linearly.
        table: Distance of each code, (256,).
        matrix: (3, 3).
        start: Where the patch's first voxel lies in the region without displacement, in voxels, (3,).
        control: Control points of the displacement, a tensor product of cubic B-splines, (a, 3, b, c).
        knots: First of the four control points that act on each voxel, one array per axis.
        basis: Their weights, (voxels, 4), one array per axis.
        padding: Value of the image outside the region; labels and distance are 0 there.
        out_image: The patch.
        out_labels: Likewise.
        out_distance: Likewise.
    """
    size_x, size_y, size_z = out_image.shape
    plane = np.empty(control.shape[1:])
    line = np.empty((3, control.shape[3]))
    positions = np.empty((3, size_z))
    lower, nearest = np.empty((3, size_z), np.int64), np.empty((3, size_z), np.int64)
    fraction = np.empty((3, size_z), np.float32)
    row_start = np.empty(3)
    step = matrix[:, 2].copy()
    basis_z = basis[2].T.copy()
    for x in range(size_x):
        _blend_plane(plane, control, knots[0][x], basis[0][x])
        turned = plane.transpose(1, 0, 2)
        for y in range(size_y):
            _blend_plane(line, turned, knots[1][y], basis[1][y])
            for axis in range(3):
                row_start[axis] = start[axis] + matrix[axis, 0] * x + matrix[axis, 1] * y
            _row_positions(row_start, step, line, knots[2], basis_z, positions)
            row_image, row_labels, row_distance = out_image[x, y], out_labels[x, y], out_distance[x, y]
            if _split_row(positions, image.shape, lower, fraction, nearest):
                _read_row_inside(
                    image, labels, codes, table, lower, fraction, nearest, row_image, row_labels, row_distance
                )
            else:
                _read_row_at_border(
                    image,
                    labels,
                    codes,
                    table,
                    lower,
                    fraction,
                    nearest,
                    padding,
                    row_image,
                    row_labels,
                    row_distance,
                )
