"""Counting and picking the voxels of each class in one scan of the volume."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def count_classes(
    labels: NDArray[Any], slots: NDArray[np.int64], offset: int, counts: NDArray[np.int64]
) -> None:
    """Count the voxels of each wanted class.

    Args:
        labels: (x, y, z), C-contiguous, of an integer type.
        slots: Row of a class for each ``label - offset``, -1 where the class is not wanted.
        offset: Smallest wanted label. Labels outside the table are not wanted.
        counts: (rows,), overwritten.
    """
    counts[:] = 0
    flat = labels.reshape(-1)
    for i in range(flat.size):
        place = np.int64(flat[i]) - offset
        if 0 <= place < slots.size and slots[place] >= 0:
            counts[slots[place]] += 1


@njit(cache=True, nogil=True)
def pick_ranks(
    labels: NDArray[Any],
    slots: NDArray[np.int64],
    offset: int,
    ranks: NDArray[np.int64],
    first: NDArray[np.int64],
    out: NDArray[np.int16],
) -> None:
    """Write the coordinates of the voxels with given ranks, a voxel's rank being its place among its class.

    Args:
        labels: (x, y, z), C-contiguous, of an integer type.
        slots: Row of a class for each ``label - offset``, -1 where the class is not wanted.
        offset: Smallest wanted label.
        ranks: The classes' ascending ranks, one class after the other.
        first: Where each class's ranks begin, and their total number as a last entry.
        out: (total, 3), in the order of ``ranks``.
    """
    nx, ny, nz = labels.shape
    passed = np.zeros(first.size - 1, np.int64)
    cursor = first[:-1].copy()
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                place = np.int64(labels[x, y, z]) - offset
                if place < 0 or place >= slots.size or slots[place] < 0:
                    continue
                row = slots[place]
                if cursor[row] < first[row + 1] and ranks[cursor[row]] == passed[row]:
                    out[cursor[row], 0] = x
                    out[cursor[row], 1] = y
                    out[cursor[row], 2] = z
                    cursor[row] += 1
                passed[row] += 1
