"""The one place that turns a plan's numbers into a network."""

from mixcl_auto.errors import PlanError
from mixcl_auto.networks.backbone import Backbone, Grid
from mixcl_auto.networks.unetr import UNETR

BACKBONES = ("unetr",)


def build_backbone(
    name: str,
    *,
    in_channels: int,
    out_channels: int,
    patch_size: Grid,
    feature_size: int,
    hidden_size: int,
    mlp_size: int,
    heads: int,
    layers: int,
) -> Backbone:
    """Build a backbone by name; its sizes mean what :class:`mixcl_auto.networks.unetr.UNETR` says.

    Raises:
        PlanError: for a name that is not among :data:`BACKBONES`, or sizes that do not fit together.
    """
    if name not in BACKBONES:
        raise PlanError(f"network.backbone must be one of {', '.join(BACKBONES)}, got {name!r}")
    return UNETR(
        in_channels=in_channels,
        out_channels=out_channels,
        patch_size=patch_size,
        feature_size=feature_size,
        hidden_size=hidden_size,
        mlp_size=mlp_size,
        heads=heads,
        layers=layers,
    )
