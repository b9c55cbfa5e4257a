"""Argmax over classes, and trilinear interpolation of class scores fused with it."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

_MIXED = -1


@njit(cache=True, nogil=True)
def largest_class(scores: NDArray[np.float32], out: NDArray[np.uint8]) -> None:
    """Keep the class with the largest score.

    Args:
        scores: (classes, y, z), in any memory order.
        out: (y, z). Ties go to the smallest class.
    """
    classes, ny, nz = scores.shape
    line = np.empty((classes, nz), np.float32)
    best = np.empty(nz, np.float32)
    winner = np.empty(nz, np.int32)
    channels_last = scores.strides[0] < scores.strides[2]
    for y in range(ny):
        # One class after the other is compared over the whole line, whatever the order in memory: branches
        # per voxel cost more than this copy.
        if channels_last:
            for z in range(nz):
                for c in range(classes):
                    line[c, z] = scores[c, y, z]
        else:
            for c in range(classes):
                for z in range(nz):
                    line[c, z] = scores[c, y, z]
        best[:] = line[0]
        winner[:] = 0
        for c in range(1, classes):
            for z in range(nz):
                better = line[c, z] > best[z]
                best[z] = line[c, z] if better else best[z]
                winner[z] = c if better else winner[z]
        for z in range(nz):
            out[y, z] = winner[z]


@njit(cache=True, nogil=True)
def shared_classes(
    below: NDArray[np.uint8], above: NDArray[np.uint8], out: NDArray[np.int16], mixed: NDArray[np.bool_]
) -> None:
    """Find the class of each cell between two neighbouring x-planes, where its eight corners have one.

    Args:
        below: Classes of the lower x-plane, (y, z).
        above: Classes of the upper x-plane, likewise.
        out: The class shared by the corners from (y, z) to (y + 1, z + 1), or -1, (y, z). Beyond the last
            row and column the border is repeated.
        mixed: Whether a row y is at the side of a cell without a shared class, (y,).
    """
    ny, nz = below.shape
    edge = np.empty(nz + 1, np.int16)
    mixed[:] = False
    for y in range(ny):
        y1 = min(y + 1, ny - 1)
        for z in range(nz):
            first = below[y, z]
            same = (first == below[y1, z]) & (first == above[y, z]) & (first == above[y1, z])
            edge[z] = first if same else _MIXED
        edge[nz] = edge[nz - 1]
        found = False
        for z in range(nz):
            out[y, z] = edge[z] if edge[z] == edge[z + 1] else _MIXED
            found |= out[y, z] == _MIXED
        if found:
            mixed[y] = mixed[y1] = True


@njit(cache=True, nogil=True)
def interpolate_rows(
    scores: NDArray[np.float32],
    wanted: NDArray[np.bool_],
    ready: NDArray[np.bool_],
    lower: NDArray[np.int64],
    fraction: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Interpolate the scores of one x-plane linearly along z, in the rows that are wanted and not ready.

    Args:
        scores: (classes, y, z), in any memory order.
        wanted: (y,).
        ready: (y,); set for the rows that are done.
        lower: Index of the lower neighbour of each output position along z.
        fraction: Weight of the upper neighbour, in [0, 1].
        out: (classes, y, output z).
    """
    classes, ny, nz = scores.shape
    for y in range(ny):
        if ready[y] or not wanted[y]:
            continue
        ready[y] = True
        for k in range(lower.size):
            low, high = lower[k], min(lower[k] + 1, nz - 1)
            for c in range(classes):
                below = scores[c, y, low]
                out[c, y, k] = below + fraction[k] * (scores[c, y, high] - below)


@njit(cache=True, nogil=True)
def blend_rows_argmax(
    below: NDArray[np.float32],
    above: NDArray[np.float32],
    shared: NDArray[np.int16],
    fraction_x: np.float32,
    lower_y: NDArray[np.int64],
    fraction_y: NDArray[np.float32],
    lower_z: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> None:
    """Blend the rows of two neighbouring x-planes and keep the class with the largest score.

    A class that is the largest at all corners of a cell is the largest within it, so only the part of a row
    from its first to its last cell without a shared class is computed.

    Args:
        below: Scores of the lower x-plane, (classes, y, output z).
        above: Scores of the upper x-plane, likewise.
        shared: What ``shared_classes`` found, (y, z).
        fraction_x: Weight of the upper x-plane, in [0, 1].
        lower_y: Index of the lower neighbour of each output position along y.
        fraction_y: Weight of the upper neighbour along y, in [0, 1].
        lower_z: Index of the lower neighbour of each output position along z.
        out: (output y, output z). Ties go to the smallest class.
    """
    classes, ny, nz = below.shape
    best = np.empty(nz, np.float32)
    winner = np.empty(nz, np.int32)
    for j in range(lower_y.size):
        y0 = lower_y[j]
        y1 = min(y0 + 1, ny - 1)
        first, last = nz, -1
        for k in range(nz):
            label = shared[y0, lower_z[k]]
            out[j, k] = label
            if label == _MIXED:
                first, last = min(first, k), k
        # Counted from 0, as numba's check of negative indices would keep this from running in vectors.
        width = last + 1 - first
        for c in range(classes):
            b0, b1 = below[c, y0, first : last + 1], below[c, y1, first : last + 1]
            a0, a1 = above[c, y0, first : last + 1], above[c, y1, first : last + 1]
            for k in range(width):
                low = b0[k] + fraction_x * (a0[k] - b0[k])
                high = b1[k] + fraction_x * (a1[k] - b1[k])
                score = low + fraction_y[j] * (high - low)
                better = (c == 0) | (score > best[k])
                best[k] = score if better else best[k]
                winner[k] = c if better else winner[k]
        for k in range(width):
            out[j, first + k] = winner[k]
