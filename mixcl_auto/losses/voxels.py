"""A level's voxels: as rows of a matrix, and as picks from the full resolution."""

from collections.abc import Sequence

from torch import Tensor


def voxel_rows(embedding: Tensor) -> Tensor:
    """An embedding (B, C, X, Y, Z) as (B*X*Y*Z, C); a view if channels-last or a batch of one."""
    return embedding.permute(0, 2, 3, 4, 1).flatten(0, 3)


def reduce_to_grid(volume: Tensor, grid: Sequence[int]) -> Tensor:
    """Take a full-resolution volume to a level's grid by nearest neighbour, as a view.

    A level's voxel covers s voxels along an axis; of those the nearest to its centre is taken, the lower of
    two.

    Args:
        volume: (B, X, Y, Z).
        grid: the level's size, three numbers that divide X, Y and Z.

    Raises:
        ValueError: for a grid that does not divide the volume.
    """
    size = volume.shape[1:]
    if len(size) != len(grid) or any(full % part for full, part in zip(size, grid, strict=True)):
        raise ValueError(f"grid must divide the volume's {tuple(size)}, got {tuple(grid)}")
    strides = [full // part for full, part in zip(size, grid, strict=True)]
    return volume[(slice(None), *(slice((stride - 1) // 2, None, stride) for stride in strides))]
