"""The projector sigma of section 2.1: from a level's map to the embeddings that the losses compare."""

from torch import Tensor, nn
from torch.nn import functional

from mixcl_auto.networks.instance_norm import InstanceNorm
from mixcl_auto.networks.memory_layout import is_channels_last


class PointwiseConvolution(nn.Conv3d):
    """A 1x1x1 convolution without bias that keeps its input's memory layout, whatever that of its weights.

    On channels-last maps it is a product of matrices, as every voxel is a row. Names and shapes of the
    weights are a convolution's.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """Build the layer with PyTorch's usual weights, (out_channels, in_channels, 1, 1, 1)."""
        super().__init__(in_channels, out_channels, 1, bias=False)

    def matrix(self) -> Tensor:
        """The weights as a matrix, (out_channels, in_channels)."""
        return self.weight.flatten(1)

    def forward(self, level_map: Tensor) -> Tensor:
        """(B, in_channels, X, Y, Z) to (B, out_channels, X, Y, Z)."""
        if is_channels_last(level_map):
            return functional.linear(level_map.permute(0, 2, 3, 4, 1), self.matrix()).permute(0, 4, 1, 2, 3)
        return functional.conv3d(level_map, self.matrix().contiguous()[:, :, None, None, None])


class Projector(nn.Module):
    """Three 1x1x1 convolutions [c, c, 2c] without bias, affine InstanceNorm and ReLU between them.

    A map (B, c, X, Y, Z) becomes embeddings (B, 2c, X, Y, Z). Each sample is normalised alone (decision 18),
    so views and samples can share a batch. The last convolution is linear: a loss that needs no more than
    sums over voxels, or a few voxels, makes do with the output of ``trunk`` and the matrix of ``head``.

    Attributes:
        trunk: all but the last convolution, (B, c, X, Y, Z) to the same shape.
        head: the last convolution.
    """

    def __init__(self, channels: int) -> None:
        """Build the projector of a level with ``channels`` channels."""
        super().__init__()
        self.trunk = nn.Sequential(
            PointwiseConvolution(channels, channels),
            InstanceNorm(channels),
            nn.ReLU(inplace=True),
            PointwiseConvolution(channels, channels),
            InstanceNorm(channels),
            nn.ReLU(inplace=True),
        )
        self.head = PointwiseConvolution(channels, 2 * channels)

    def forward(self, level_map: Tensor) -> Tensor:
        """Embeddings of a level's map."""
        embedding: Tensor = self.head(self.trunk(level_map))
        return embedding
