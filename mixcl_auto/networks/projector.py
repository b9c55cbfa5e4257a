"""The projector sigma of section 2.1: from a level's map to the embeddings that the losses compare."""

from torch import Tensor, nn


class Projector(nn.Module):
    """Three 1x1x1 convolutions [c, c, 2c] without bias, affine InstanceNorm and ReLU between them.

    A map (B, c, X, Y, Z) becomes embeddings (B, 2c, X, Y, Z). Each sample is normalised alone (decision 18),
    so views and samples can share a batch. The last convolution is linear: a loss that needs no more than
    sums over voxels, or a few voxels, can do without its output, from ``trunk`` and ``head_matrix``.

    Attributes:
        trunk: all but the last convolution, (B, c, X, Y, Z) to the same shape.
        head: the last convolution.
    """

    def __init__(self, channels: int) -> None:
        """Build the projector of a level with ``channels`` channels."""
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv3d(channels, channels, 1, bias=False),
            nn.InstanceNorm3d(channels, affine=True),
            nn.ReLU(inplace=True),
            nn.Conv3d(channels, channels, 1, bias=False),
            nn.InstanceNorm3d(channels, affine=True),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Conv3d(channels, 2 * channels, 1, bias=False)

    def forward(self, level_map: Tensor) -> Tensor:
        """Embeddings of a level's map."""
        embedding: Tensor = self.head(self.trunk(level_map))
        return embedding

    def head_matrix(self) -> Tensor:
        """The last convolution's weights as a matrix, (2c, c)."""
        return self.head.weight.flatten(1)
