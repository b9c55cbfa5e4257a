"""From a patch's voxels to those of an encoder level, which cover several."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def reduce_to_grid(volume: NDArray[Scalar], grid: Sequence[int]) -> NDArray[Scalar]:
    """Take a volume to a coarser grid by nearest neighbour, as a view.

    A voxel of the grid covers s voxels along an axis; of those the nearest to its centre is taken, the lower
    of two.

    Args:
        volume: (x, y, z).
        grid: Three numbers that divide x, y and z.

    Raises:
        ValueError: For a grid that does not divide the volume.
    """
    size = volume.shape
    if len(size) != len(grid) or any(full % part for full, part in zip(size, grid, strict=True)):
        raise ValueError(f"grid must divide the volume's {size}, got {tuple(grid)}")
    strides = [full // part for full, part in zip(size, grid, strict=True)]
    return volume[tuple(slice((stride - 1) // 2, None, stride) for stride in strides)]
