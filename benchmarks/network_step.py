"""What training steps are measured against: a bare UNETR, forward and backward, on the same patches."""

import argparse
from collections.abc import Callable

import torch
from monai.networks.nets.unetr import UNETR
from torch import Tensor, nn

from benchmarks.measure import parser
from mixcl_auto.planning.presets import load_preset
from mixcl_auto.records.case import Role
from mixcl_auto.records.plan import DatasetPlan, NetworkPlan, Plan
from mixcl_auto.training.device import Precision, autocast
from mixcl_auto.training.networks import build_network

POOL_ORGANS, TARGET_ORGANS = 2, 13
"""Of a dataset of the paper's pool at most, and of BTCV."""


def step_parser(description: str | None, *, batch: int) -> argparse.ArgumentParser:
    """The options of both steps' benchmarks."""
    made = parser(description)
    made.add_argument("--preset", default="balanced", help="paper, balanced or tiny")
    made.add_argument("--patch", type=int, default=None, help="side in voxels; the preset's if absent")
    made.add_argument("--batch", type=int, default=batch, help="samples; of three views each in pre-training")
    made.add_argument("--precision", default="auto", help="auto, bf16, fp16 or fp32")
    made.add_argument("--device", default=None, help="such as cuda:0; a GPU if there is one, if absent")
    return made


def step_plan(preset: str, patch: int | None = None) -> Plan:
    """A preset for a pool of 2 organs and a target of 13, with cubic patches of that side if one is given."""
    plan = load_preset(preset)
    roles: dict[Role, int] = {"pretrain": POOL_ORGANS, "target": TARGET_ORGANS}
    datasets = tuple(
        DatasetPlan(name=role, role=role, labels=_labels(organs), cases=("case",), fingerprint="")
        for role, organs in roles.items()
    )
    side = patch or plan.network.patch_size[0]
    network = plan.network.model_copy(update={"patch_size": (side, side, side)})
    return plan.model_copy(update={"network": network, "datasets": datasets})


def monai_unetr(plan: NetworkPlan, out_channels: int, device: torch.device) -> nn.Module:
    """MONAI's network of the plan's sizes, channels-last; of 12 layers, as MONAI has no other."""
    network = UNETR(
        in_channels=1,
        out_channels=out_channels,
        img_size=plan.patch_size,
        feature_size=plan.feature_size,
        hidden_size=plan.hidden_size,
        mlp_dim=plan.mlp_size,
        num_heads=plan.heads,
    )
    return _channels_last(network, device)


def own_backbone(plan: NetworkPlan, out_channels: int, device: torch.device) -> nn.Module:
    """This project's network of the plan's sizes, without projectors."""
    return _channels_last(build_network(plan, out_channels=out_channels), device)


def forward_backward(
    network: nn.Module,
    images: Tensor,
    precision: Precision,
    loss: Callable[[Tensor], Tensor] | None = None,
) -> Callable[[], None]:
    """A step without an optimiser.

    Args:
        network: on its device.
        images: (B, 1, X, Y, Z) there.
        precision: of the forward pass.
        loss: of the output; without one the output's gradient is given, at no cost.
    """
    given: list[Tensor] = []

    def run() -> None:
        with autocast(images.device, precision):
            output: Tensor = network(images)
        if loss is not None:
            torch.autograd.backward(loss(output))
        else:
            if not given:
                given.append(torch.full_like(output, 1e-3))
            torch.autograd.backward(output, given[0])
        network.zero_grad(set_to_none=True)
        finish_work(images.device)

    return run


def finish_work(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _labels(organs: int) -> dict[str, int]:
    return {f"organ_{value}": value for value in range(1, organs + 1)}


def _channels_last(network: nn.Module, device: torch.device) -> nn.Module:
    network.to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return network.train()
