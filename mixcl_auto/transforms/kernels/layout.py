"""Change of memory layout."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_TILE = 32


@njit(cache=True, nogil=True)
def reverse_axes(source: NDArray[Any]) -> NDArray[Any]:
    """Return ``source.T`` of a volume as a C-contiguous copy, tile by tile.

    numpy's copy of a transposed volume touches a new cache line with every voxel.

    Args:
        source: (z, y, x), C-contiguous.

    Returns:
        (x, y, z), C-contiguous.
    """
    nz, ny, nx = source.shape
    out = np.empty((nx, ny, nz), source.dtype)
    for y in range(ny):
        for x0 in range(0, nx, _TILE):
            for z0 in range(0, nz, _TILE):
                for x in range(x0, min(x0 + _TILE, nx)):
                    for z in range(z0, min(z0 + _TILE, nz)):
                        out[x, y, z] = source[z, y, x]
    return out
