"""MONAI's UNETR with another number of ViT blocks than its 12."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from monai.networks.nets.unetr import UNETR
from monai.networks.nets.vit import ViT
from torch import Tensor


class AnyDepthUNETR(UNETR):
    """UNETR whose skip levels come from the blocks n/4, n/2 and 3n/4 of n, counted from zero.

    For 12 blocks these are MONAI's 3, 6 and 9, and the weights' names are MONAI's for every n.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        img_size: Sequence[int],
        hidden_size: int,
        mlp_dim: int,
        num_heads: int,
        num_layers: int,
        **others: Any,
    ) -> None:
        """Build the network; ``num_layers`` is a multiple of 4, all else is as in MONAI's UNETR."""
        sizes: dict[str, Any] = {"hidden_size": hidden_size, "mlp_dim": mlp_dim, "num_heads": num_heads}
        super().__init__(in_channels=in_channels, img_size=img_size, **sizes, **others)
        self.num_layers = num_layers
        self.vit = ViT(
            in_channels=in_channels,
            img_size=img_size,
            patch_size=self.patch_size,
            num_layers=num_layers,
            proj_type="conv",
            **sizes,
        )

    def forward(self, x_in: Tensor) -> Tensor:
        """Logits (B, out_channels, X, Y, Z) of an image (B, in_channels, X, Y, Z)."""
        tokens, hidden = self.vit(x_in)
        to_map = cast(Callable[[Tensor], Tensor], self.proj_feat)
        quarters = [to_map(hidden[self.num_layers * part // 4]) for part in (1, 2, 3)]
        decoded = self.decoder5(to_map(tokens), self.encoder4(quarters[2]))
        decoded = self.decoder4(decoded, self.encoder3(quarters[1]))
        decoded = self.decoder3(decoded, self.encoder2(quarters[0]))
        decoded = self.decoder2(decoded, self.encoder1(x_in))
        return cast(Tensor, self.out(decoded))
