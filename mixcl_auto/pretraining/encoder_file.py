"""``encoder.safetensors``: what pre-training hands on, with what a user must know to use it elsewhere."""

import json
from collections.abc import Mapping
from pathlib import Path

from mixcl_auto import __version__
from mixcl_auto.io.checkpoints import save_weights
from mixcl_auto.networks.backbone import Backbone
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.record import content_hash


def write_encoder(path: Path, backbone: Backbone, plan: Plan, *, name: str) -> None:
    """Write the encoder's tensors under MONAI's names, and the metadata."""
    save_weights(
        path, backbone.encoder_state_dict(), encoder_metadata(plan, backbone.position_grids, name=name)
    )


def encoder_metadata(
    plan: Plan, position_grids: Mapping[str, tuple[int, int, int]], *, name: str
) -> dict[str, str]:
    """What the file says of itself, each value as JSON but for plain words.

    Spacing and window are what the encoder's input must be brought to; ``position_grids`` tells how the
    position embedding's tokens lie, for a fine-tuning with another patch size; ``pool`` names the datasets
    that the encoder has seen, on which its gain can't be measured.
    """
    return {
        "format": "mixcl_auto encoder 1",
        "mixcl_auto": __version__,
        "name": name,
        "method": plan.pretrain.method,
        "plan_hash": content_hash(plan),
        "spacing_mm": json.dumps(plan.preprocess.spacing_mm),
        "window_hu": json.dumps(plan.preprocess.window_hu),
        "patch_size": json.dumps(plan.network.patch_size),
        "position_grids": json.dumps(dict(position_grids)),
        "network": plan.network.model_dump_json(),
        "without": json.dumps(plan.pretrain.without),
        "pool": json.dumps([dataset.name for dataset in plan.pool]),
        "hands_on_level_0": json.dumps(plan.pretrain.hands_on_level_0),
    }
