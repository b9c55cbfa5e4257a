"""The MONAI network that a plan's weights load into."""

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn

from mixcl_auto.errors import WeightsError
from mixcl_auto.networks.unetr import TOKEN_SIDE
from mixcl_auto.records.plan import NetworkPlan
from mixcl_auto.training.networks import IMAGE_CHANNELS

MONAI_LAYERS = 12
"""The number of ViT blocks that MONAI's UNETR always has."""

MONAI_UNETR = "monai.networks.nets.UNETR"
MONAI_VIT = "monai.networks.nets.ViT"
VIT_PREFIX = "vit."


def unetr_arguments(plan: NetworkPlan, classes: int) -> dict[str, Any]:
    """What the constructor of ``unetr_class(plan)`` takes, as JSON can hold it."""
    depth = {} if plan.layers == MONAI_LAYERS else {"num_layers": plan.layers}
    return {
        "in_channels": IMAGE_CHANNELS,
        "out_channels": classes,
        "img_size": list(plan.patch_size),
        "feature_size": plan.feature_size,
        "hidden_size": plan.hidden_size,
        "mlp_dim": plan.mlp_size,
        "num_heads": plan.heads,
        "proj_type": "conv",
        "norm_name": "instance",
        **depth,
    }


def unetr_class(plan: NetworkPlan, scripts: str = "mixcl_auto.exporting.bundle_scripts") -> str:
    """The dotted path of MONAI's UNETR, or of ours for another number of blocks.

    Args:
        plan: with the number of blocks.
        scripts: the package that holds ``network.py``; a bundle has its own.
    """
    return MONAI_UNETR if plan.layers == MONAI_LAYERS else f"{scripts}.network.AnyDepthUNETR"


def vit_arguments(plan: NetworkPlan) -> dict[str, Any]:
    """What the constructor of MONAI's ViT takes for the tensors under ``vit.``."""
    return {
        "in_channels": IMAGE_CHANNELS,
        "img_size": list(plan.patch_size),
        "patch_size": [TOKEN_SIDE] * 3,
        "hidden_size": plan.hidden_size,
        "mlp_dim": plan.mlp_size,
        "num_layers": plan.layers,
        "num_heads": plan.heads,
        "proj_type": "conv",
    }


def monai_network(plan: NetworkPlan, classes: int, state_dict: Mapping[str, Tensor]) -> nn.Module:
    """MONAI's network with a fine-tuned model's weights, for inference.

    Raises:
        WeightsError: if a tensor is missing, superfluous or of another shape.
    """
    from monai.networks.nets.unetr import UNETR

    from mixcl_auto.exporting.bundle_scripts.network import AnyDepthUNETR

    kind = UNETR if plan.layers == MONAI_LAYERS else AnyDepthUNETR
    network = cast(nn.Module, kind(**unetr_arguments(plan, classes)))
    try:
        network.load_state_dict(dict(state_dict), strict=True)
    except RuntimeError as problem:
        reason = str(problem).splitlines()[-1].strip()
        raise WeightsError(
            f"the weights do not fit MONAI's UNETR of the run's plan ({reason}); restore the run's files"
        ) from None
    return network.eval()
