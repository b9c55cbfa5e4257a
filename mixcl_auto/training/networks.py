"""A plan's network, with the weights that a seed gives it."""

from mixcl_auto.networks.backbone import Backbone
from mixcl_auto.networks.build import build_backbone
from mixcl_auto.records.plan import NetworkPlan

IMAGE_CHANNELS = 1


def build_network(plan: NetworkPlan, *, out_channels: int) -> Backbone:
    """Build the backbone of a plan for one-channel images; its weights come from torch's global generator."""
    return build_backbone(
        plan.backbone,
        in_channels=IMAGE_CHANNELS,
        out_channels=out_channels,
        patch_size=plan.patch_size,
        feature_size=plan.feature_size,
        hidden_size=plan.hidden_size,
        mlp_size=plan.mlp_size,
        heads=plan.heads,
        layers=plan.layers,
    )
