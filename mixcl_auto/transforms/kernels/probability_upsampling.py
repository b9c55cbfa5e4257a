"""Interpolation of class scores within a plane, fused with softmax and rounding to a byte."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

_NEGLIGIBLE = np.float32(-11.0)
"""Logits so far below the largest count as probability 0: at most 0.005 steps of 1/255 each."""

_STEPS, _HALF = np.float32(255.0), np.float32(0.5)


@njit(cache=True, nogil=True)
def interpolate_probabilities(
    scores: NDArray[np.float32],
    are_logits: bool,
    lower_y: NDArray[np.int64],
    fraction_y: NDArray[np.float32],
    lower_z: NDArray[np.int64],
    fraction_z: NDArray[np.float32],
    slots: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> None:
    """Interpolate a plane's scores linearly and keep the probabilities of some classes in steps of 1/255.

    Args:
        scores: Of all classes, (classes, y, z).
        are_logits: Whether a softmax makes them probabilities, after the interpolation.
        lower_y: Index of the lower neighbour of each output position along y.
        fraction_y: Weight of the upper neighbour along y, in [0, 1].
        lower_z: Index of the lower neighbour along z.
        fraction_z: Weight of the upper neighbour along z.
        slots: Each class's place in ``out``, -1 for those that are not kept, (classes,).
        out: (kept classes, output y, output z).
    """
    classes, ny, nz = scores.shape
    row = np.empty((classes, nz), np.float32)
    line = np.empty((classes, lower_z.size), np.float32)
    largest = np.empty(lower_z.size, np.float32)
    scale = np.empty(lower_z.size, np.float32)
    for j in range(lower_y.size):
        y0 = lower_y[j]
        y1 = min(y0 + 1, ny - 1)
        for c in range(classes):
            for z in range(nz):
                row[c, z] = scores[c, y0, z] + fraction_y[j] * (scores[c, y1, z] - scores[c, y0, z])
        for c in range(classes):
            for k in range(lower_z.size):
                low, high = lower_z[k], min(lower_z[k] + 1, nz - 1)
                line[c, k] = row[c, low] + fraction_z[k] * (row[c, high] - row[c, low])
        scale[:] = _STEPS
        if are_logits:
            largest[:] = line[0]
            for c in range(1, classes):
                for k in range(lower_z.size):
                    largest[k] = line[c, k] if line[c, k] > largest[k] else largest[k]
            scale[:] = 0.0
            for c in range(classes):
                for k in range(lower_z.size):
                    below = line[c, k] - largest[k]
                    if below > _NEGLIGIBLE:
                        line[c, k] = math.exp(below)
                        scale[k] += line[c, k]
                    else:
                        line[c, k] = 0.0
            for k in range(lower_z.size):
                scale[k] = _STEPS / scale[k]
        for c in range(classes):
            if slots[c] >= 0:
                for k in range(lower_z.size):
                    out[slots[c], j, k] = np.uint8(np.int32(line[c, k] * scale[k] + _HALF))
