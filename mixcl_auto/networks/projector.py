"""The projector sigma of section 2.1: from a level's map to the embeddings that the losses compare."""

from torch import nn


class Projector(nn.Sequential):
    """Three 1x1x1 convolutions [c, c, 2c] without bias, affine InstanceNorm and ReLU between them.

    A map (B, c, X, Y, Z) becomes embeddings (B, 2c, X, Y, Z). Each sample is normalised alone
    (decision 18), so views and
    samples can share a batch.
    """

    def __init__(self, channels: int) -> None:
        """Build the projector of a level with ``channels`` channels."""
        super().__init__(
            nn.Conv3d(channels, channels, 1, bias=False),
            nn.InstanceNorm3d(channels, affine=True),
            nn.ReLU(inplace=True),
            nn.Conv3d(channels, channels, 1, bias=False),
            nn.InstanceNorm3d(channels, affine=True),
            nn.ReLU(inplace=True),
            nn.Conv3d(channels, 2 * channels, 1, bias=False),
        )
