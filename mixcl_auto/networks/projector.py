"""The projector sigma of section 2.1: from a level's map to the embeddings that the losses compare."""

from torch import Tensor, nn
from torch.nn import functional


class PointwiseConvolution(nn.Conv3d):
    """A 1x1x1 convolution without bias that ignores the memory format of its weights.

    A kernel of one voxel has no layout worth keeping, but a channels-last one would make the convolution turn
    its input and output around: InstanceNorm gives contiguous maps, and the detour costs a fifth of the
    projector.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        """Build the layer with PyTorch's usual weights, (out_channels, in_channels, 1, 1, 1)."""
        super().__init__(in_channels, out_channels, 1, bias=False)

    def matrix(self) -> Tensor:
        """The weights as a matrix, (out_channels, in_channels)."""
        return self.weight.flatten(1)

    def forward(self, level_map: Tensor) -> Tensor:
        """(B, in_channels, X, Y, Z) to (B, out_channels, X, Y, Z)."""
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
        # The ReLUs are not in place: InstanceNorm returns a view, whose in-place change autograd copies.
        self.trunk = nn.Sequential(
            PointwiseConvolution(channels, channels),
            nn.InstanceNorm3d(channels, affine=True),
            nn.ReLU(),
            PointwiseConvolution(channels, channels),
            nn.InstanceNorm3d(channels, affine=True),
            nn.ReLU(),
        )
        self.head = PointwiseConvolution(channels, 2 * channels)

    def forward(self, level_map: Tensor) -> Tensor:
        """Embeddings of a level's map."""
        embedding: Tensor = self.head(self.trunk(level_map))
        return embedding
