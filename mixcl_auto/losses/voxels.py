"""A map's voxels as rows of a matrix, and blocks of them."""

from torch import Tensor

_BLOCK_ELEMENTS_CPU = 2**19
"""Of one map; two float32 blocks of this size stay within a core's caches and the shared one."""

_BLOCK_ELEMENTS_OTHER = 2**24
"""On accelerators few large kernels win; two blocks are 128 MiB."""


def voxel_rows(embedding: Tensor) -> Tensor:
    """An embedding (B, C, X, Y, Z) as (B*X*Y*Z, C); a view if channels-last or a batch of one."""
    return embedding.permute(0, 2, 3, 4, 1).flatten(0, 3)


def blocks_of_rows(rows: Tensor) -> list[tuple[int, int]]:
    """Where blocks of rows (M, C) start and stop, so that a float32 copy of a block stays close at hand."""
    elements = _BLOCK_ELEMENTS_CPU if rows.device.type == "cpu" else _BLOCK_ELEMENTS_OTHER
    voxels, channels = rows.shape
    step = max(elements // channels, 1)
    return [(start, min(start + step, voxels)) for start in range(0, voxels, step)]
