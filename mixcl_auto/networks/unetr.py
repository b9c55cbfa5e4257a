"""UNETR (Hatamizadeh et al. 2022) from MONAI's blocks, under MONAI's names, with its level maps in the open.

With 12 layers the weights load into ``monai.networks.nets.UNETR`` as they are, and out of it; with another
number into one whose ``vit`` is MONAI's ``ViT`` of that depth.
"""

from collections.abc import Collection, Sequence
from typing import cast

from monai.networks.blocks.dynunet_block import UnetOutBlock
from monai.networks.blocks.unetr_block import UnetrBasicBlock, UnetrPrUpBlock, UnetrUpBlock
from monai.networks.nets.vit import ViT
from torch import Tensor, nn

from mixcl_auto.errors import PlanError
from mixcl_auto.networks.backbone import Backbone, Grid, Level
from mixcl_auto.networks.instance_norm import replace_instance_norms
from mixcl_auto.networks.token_projection import TokenProjection

TOKEN_SIDE = 16
"""A token covers this many voxels along each axis."""

_ENCODER_PARTS = ("vit.", "encoder1.", "encoder2.", "encoder3.", "encoder4.")


class UNETR(Backbone):
    """A ViT encoder with convolutional skip levels, and a convolutional decoder.

    Level 0 comes from the image, levels 1 to 3 from the ViT's hidden states n/4, n/2 and 3n/4 (MONAI's 3, 6,
    9 of 12, counted from zero), level 4 from its output.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        patch_size: Grid,
        feature_size: int = 16,
        hidden_size: int = 768,
        mlp_size: int = 3072,
        heads: int = 12,
        layers: int = 12,
    ) -> None:
        """Build the network with freshly drawn weights; for a seed see :mod:`mixcl_auto.networks.initialise`.

        Args:
            in_channels: of the image.
            out_channels: classes with background, or the image's channels for a reconstruction.
            patch_size: voxels along x, y and z, multiples of 16.
            feature_size: channels of level 0; level l up to 3 has 2^l times as many.
            hidden_size: channels of a token and of level 4, a multiple of ``heads``.
            mlp_size: width of the ViT's perceptrons.
            heads: attention heads.
            layers: ViT blocks, a multiple of 4.

        Raises:
            PlanError: for sizes that do not fit together.
        """
        super().__init__()
        _check_sizes(patch_size, hidden_size, heads, layers)
        self.in_channels, self.patch_size = in_channels, patch_size
        self.levels = _levels(patch_size, feature_size, hidden_size)
        self._tapped_blocks = (layers // 4, layers // 2, 3 * layers // 4)
        self.vit = ViT(
            in_channels=in_channels,
            img_size=patch_size,
            patch_size=(TOKEN_SIDE,) * 3,
            hidden_size=hidden_size,
            mlp_dim=mlp_size,
            num_layers=layers,
            num_heads=heads,
            proj_type="conv",
        )
        self.encoder1 = UnetrBasicBlock(3, in_channels, feature_size, 3, 1, "instance", res_block=True)
        self.encoder2 = _skip_block(hidden_size, feature_size * 2, doublings=2)
        self.encoder3 = _skip_block(hidden_size, feature_size * 4, doublings=1)
        self.encoder4 = _skip_block(hidden_size, feature_size * 8, doublings=0)
        self.decoder5 = UnetrUpBlock(3, hidden_size, feature_size * 8, 3, 2, "instance", res_block=True)
        self.decoder4 = UnetrUpBlock(3, feature_size * 8, feature_size * 4, 3, 2, "instance", res_block=True)
        self.decoder3 = UnetrUpBlock(3, feature_size * 4, feature_size * 2, 3, 2, "instance", res_block=True)
        self.decoder2 = UnetrUpBlock(3, feature_size * 2, feature_size, 3, 2, "instance", res_block=True)
        self.out = UnetOutBlock(3, feature_size, out_channels)
        embedding = self.vit.patch_embedding
        embedding.patch_embeddings = TokenProjection.of(cast(nn.Conv3d, embedding.patch_embeddings))
        replace_instance_norms(self)
        self._freeze_unused_norms()

    def encode(self, image: Tensor) -> list[Tensor]:
        """Maps of the five levels, finest first."""
        tokens, hidden = self.vit(image)
        tapped = [self._token_map(hidden[block]) for block in self._tapped_blocks]
        return [
            self.encoder1(image),
            self.encoder2(tapped[0]),
            self.encoder3(tapped[1]),
            self.encoder4(tapped[2]),
            self._token_map(tokens),
        ]

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """From the token map up through the four skip levels."""
        decoded = self.decoder5(maps[4], maps[3])
        decoded = self.decoder4(decoded, maps[2])
        decoded = self.decoder3(decoded, maps[1])
        decoded = self.decoder2(decoded, maps[0])
        return cast(Tensor, self.out(decoded))

    def is_encoder_key(self, name: str) -> bool:
        """The ViT and ``encoder1`` to ``encoder4``; the rest is the decoder's."""
        return name.startswith(_ENCODER_PARTS)

    def feeds(self, name: str, *, levels: Collection[int], decoder: bool) -> bool:
        """Follows the ViT up to the last block whose hidden state is used."""
        if name.endswith(("norm_cross_attn.weight", "norm_cross_attn.bias")):
            return False
        if decoder:
            return True
        if not name.startswith("vit."):
            return any(name.startswith(f"encoder{level + 1}.") for level in levels if level < 4)
        if name.startswith("vit.norm."):
            return 4 in levels
        block = int(name.split(".")[2]) if name.startswith("vit.blocks.") else 0
        return block <= self._last_block(levels)

    def output_bias(self) -> nn.Parameter:
        """The bias of MONAI's ``out`` block."""
        return cast(nn.Parameter, self.out.conv.conv.bias)

    @property
    def position_grids(self) -> dict[str, Grid]:
        """The ViT's one position embedding, on the grid of level 4."""
        return {"vit.patch_embedding.position_embeddings": self.levels[4].grid}

    def _last_block(self, levels: Collection[int]) -> int:
        """The deepest ViT block that the levels need; -1 for none."""
        ends = (-1, *self._tapped_blocks, len(self.vit.blocks) - 1)
        return max((ends[level] for level in levels), default=-1)

    def _token_map(self, tokens: Tensor) -> Tensor:
        """Tokens (B, X*Y*Z, C) as a map (B, C, X, Y, Z), channels-last as the tokens are."""
        return tokens.reshape(len(tokens), *self.levels[4].grid, -1).permute(0, 4, 1, 2, 3)

    def _freeze_unused_norms(self) -> None:
        """MONAI's norm for cross-attention is never called; data-parallel training would wait for it."""
        for block in self.vit.blocks:
            block.norm_cross_attn.requires_grad_(False)


def _skip_block(hidden_size: int, channels: int, *, doublings: int) -> UnetrPrUpBlock:
    """From the token grid to a level's: one doubling and as many more as asked for."""
    return UnetrPrUpBlock(
        3, hidden_size, channels, doublings, 3, 1, 2, "instance", conv_block=True, res_block=True
    )


def _levels(patch_size: Grid, feature_size: int, hidden_size: int) -> tuple[Level, ...]:
    """Channels and grids of the five levels (decision 1)."""
    channels = (feature_size, feature_size * 2, feature_size * 4, feature_size * 8, hidden_size)
    x, y, z = patch_size
    return tuple(Level(c, (x >> level, y >> level, z >> level)) for level, c in enumerate(channels))


def _check_sizes(patch_size: Grid, hidden_size: int, heads: int, layers: int) -> None:
    if len(patch_size) != 3 or any(side < TOKEN_SIDE or side % TOKEN_SIDE for side in patch_size):
        raise PlanError(
            f"network.patch_size must be three multiples of {TOKEN_SIDE}, got {tuple(patch_size)}; "
            "choose for example 96 96 96"
        )
    if hidden_size % heads:
        raise PlanError(
            f"network.hidden_size must be a multiple of network.heads, got {hidden_size} and {heads}"
        )
    if layers < 4 or layers % 4:
        raise PlanError(
            f"network.layers must be a multiple of 4, since UNETR takes maps after each quarter, got {layers}"
        )
