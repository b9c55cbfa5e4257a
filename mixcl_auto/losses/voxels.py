"""A level's voxels as rows of a matrix."""

from torch import Tensor


def voxel_rows(embedding: Tensor) -> Tensor:
    """An embedding (B, C, X, Y, Z) as (B*X*Y*Z, C); a view if channels-last or a batch of one."""
    return embedding.permute(0, 2, 3, 4, 1).flatten(0, 3)
