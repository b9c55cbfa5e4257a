"""Overlapping windows of logits, summed with their share of each voxel."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def add_window(
    bits: NDArray[Any],
    shift: np.uint32,
    weights: NDArray[np.float32],
    total: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Set ``out += weights / total * window``, in one pass and without a float32 copy of the window.

    Args:
        bits: The window's logits (x, y, z, classes) as bit patterns: uint32 of float32, or uint16 of
            bfloat16, which is the upper half of a float32.
        shift: Bits to the left that make them a float32's: 0 or 16.
        weights: Of the window's voxels, (x, y, z).
        total: What all windows weigh at these voxels, (x, y, z).
        out: (x, y, z, classes).
    """
    nx, ny, nz, classes = bits.shape
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                share = weights[x, y, z] / total[x, y, z]
                for c in range(classes):
                    value = np.uint32(np.uint32(bits[x, y, z, c]) << shift).view(np.float32)
                    out[x, y, z, c] += share * value
