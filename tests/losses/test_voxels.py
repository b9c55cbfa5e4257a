import pytest
import torch
from torch import Tensor

from mixcl_auto.losses.voxels import voxel_rows


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rows(embedding: Tensor) -> Tensor:
    """(B, C, X, Y, Z) to (M, C), voxel by voxel."""
    batch, _, x, y, z = embedding.shape
    return torch.stack(
        [embedding[b, :, i, j, k] for b in range(batch) for i in range(x) for j in range(y) for k in range(z)]
    )


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_rows_are_the_voxels_of_all_samples(memory_format):
    embedding = draw(2, 3, 2, 3, 4, seed=0).contiguous(memory_format=memory_format)
    assert torch.equal(voxel_rows(embedding), rows(embedding))


def test_rows_share_memory_for_one_sample_and_for_channels_last_maps():
    one = draw(1, 3, 2, 3, 4, seed=0)
    two = draw(2, 3, 2, 3, 4, seed=0).contiguous(memory_format=torch.channels_last_3d)
    assert voxel_rows(one).data_ptr() == one.data_ptr()
    assert voxel_rows(two).data_ptr() == two.data_ptr()
