"""Counts and intensity sums of each label in one pass over a plane."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def tally_plane(
    labels: NDArray[np.uint8],
    image: NDArray[Any],
    counts_y: NDArray[np.int64],
    counts_z: NDArray[np.int64],
    measured: NDArray[np.int64],
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> None:
    """Add a plane's voxels to what was found so far; background is left out.

    Args:
        labels: (y, z).
        image: (y, z); values that are not finite are not measured.
        counts_y: Voxels of each label per y, (labels, y).
        counts_z: Voxels of each label per z, (labels, z).
        measured: Voxels of each label with a finite value, (labels,).
        sums: Of their values.
        squares: Of their values' squares.
    """
    ny, nz = labels.shape
    for y in range(ny):
        for z in range(nz):
            label = labels[y, z]
            if label == 0:
                continue
            counts_y[label, y] += 1
            counts_z[label, z] += 1
            value = np.float64(image[y, z])
            if np.isfinite(value):
                measured[label] += 1
                sums[label] += value
                squares[label] += value * value
