"""Trilinear interpolation of class scores fused with the argmax over classes."""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def interpolate_last_axis(
    plane: NDArray[np.float32],
    lower: NDArray[np.int64],
    fraction: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Interpolate the scores of one x-plane linearly along z.

    Args:
        plane: (classes, y, z).
        lower: Index of the lower neighbour of each output position along z.
        fraction: Weight of the upper neighbour, in [0, 1].
        out: (classes, y, output z).
    """
    classes, ny, nz = plane.shape
    for c in range(classes):
        for y in range(ny):
            line = plane[c, y]
            for k in range(lower.size):
                below = line[lower[k]]
                out[c, y, k] = below + fraction[k] * (line[min(lower[k] + 1, nz - 1)] - below)


@njit(cache=True, nogil=True)
def blend_planes_argmax(
    below: NDArray[np.float32],
    above: NDArray[np.float32],
    fraction_x: np.float32,
    lower_y: NDArray[np.int64],
    fraction_y: NDArray[np.float32],
    scratch: NDArray[np.float32],
    out: NDArray[np.uint8],
) -> None:
    """Blend two neighbouring x-planes, interpolate along y and keep the class with the largest score.

    Args:
        below: Scores of the lower x-plane, (classes, y, output z).
        above: Scores of the upper x-plane, likewise.
        fraction_x: Weight of the upper x-plane, in [0, 1].
        lower_y: Index of the lower neighbour of each output position along y.
        fraction_y: Weight of the upper neighbour along y, in [0, 1].
        scratch: As large as ``below``; overwritten.
        out: (output y, output z). Ties go to the smallest class.
    """
    classes, ny, nz = below.shape
    for c in range(classes):
        for y in range(ny):
            for z in range(nz):
                scratch[c, y, z] = below[c, y, z] + fraction_x * (above[c, y, z] - below[c, y, z])
    best = np.empty(nz, np.float32)
    winner = np.empty(nz, np.int32)
    for j in range(lower_y.size):
        y0 = lower_y[j]
        y1 = min(y0 + 1, ny - 1)
        f = fraction_y[j]
        for c in range(classes):
            low, high = scratch[c, y0], scratch[c, y1]
            if c == 0:
                for z in range(nz):
                    best[z] = low[z] + f * (high[z] - low[z])
                    winner[z] = 0
            else:
                for z in range(nz):
                    score = low[z] + f * (high[z] - low[z])
                    better = score > best[z]
                    best[z] = score if better else best[z]
                    winner[z] = c if better else winner[z]
        for z in range(nz):
            out[j, z] = winner[z]
