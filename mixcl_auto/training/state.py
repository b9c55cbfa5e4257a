"""What a run must remember to go on as if it had never stopped.

Network, optimiser, gradient scaler and step: all random draws depend on (seed, step, index) and the
learning rate on the step, so there is no generator, sampler position or scheduler to save.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from mixcl_auto.errors import RunError
from mixcl_auto.io.checkpoints import load_checkpoint, save_checkpoint
from mixcl_auto.networks.backbone import Backbone
from mixcl_auto.networks.mixcl import MixCLNetwork
from mixcl_auto.records.plan import Plan, TrainerPlan
from mixcl_auto.training.compilation import compile_network
from mixcl_auto.training.device import Precision
from mixcl_auto.training.optimiser import make_optimiser

logger = logging.getLogger(__name__)


@dataclass
class TrainingState:
    """A network in training.

    Attributes:
        network: on its device.
        optimiser: over the parameters that learn.
        scaler: scales the loss under fp16, else does nothing.
        step: how many steps are done.
    """

    network: nn.Module
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    step: int = 0


def start_state(
    network: Backbone | MixCLNetwork, plan: TrainerPlan, *, device: torch.device, precision: Precision
) -> TrainingState:
    """Bring a network to its device, with an optimiser of its own, before the first step.

    Where the plan says so it is compiled, for batches of the plan's size.

    The weights are stored channels-last, as convolutions want them: a small network took a quarter less
    time per step on a CPU.
    """
    # torch's own annotation of this overload wants the memory format alone.
    network.to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    if plan.compile:
        compile_network(
            network, batch_size=plan.batch_size, threads=plan.threads, device=device, precision=precision
        )
    optimiser = make_optimiser(
        network.parameters(), learning_rate=plan.learning_rate, weight_decay=plan.weight_decay
    )
    return TrainingState(network, optimiser, torch.amp.GradScaler(device.type, enabled=precision == "fp16"))


def save_state(path: Path, state: TrainingState, plan: Plan) -> None:
    """Write a checkpoint, with the plan in it; the one before is kept."""
    document = {
        "network": state.network.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "scaler": state.scaler.state_dict(),
        "step": state.step,
        "plan": plan.to_json(),
    }
    save_checkpoint(path, document)


def resume_state(path: Path, state: TrainingState) -> bool:
    """Bring a fresh state to where the newest whole checkpoint was taken.

    Returns:
        Whether there was one.

    Raises:
        RunError: if the checkpoint belongs to another network.
        WeightsError: if there are checkpoints and none can be read.
    """
    document = load_checkpoint(path)
    if document is None:
        return False
    try:
        state.network.load_state_dict(document["network"])
        state.optimiser.load_state_dict(document["optimiser"])
        state.scaler.load_state_dict(document["scaler"])
        state.step = int(document["step"])
    except (KeyError, RuntimeError, ValueError) as problem:
        cause = " ".join(str(problem).split())[:300]
        raise RunError(
            f"{path}: the checkpoint does not fit this run ({cause}); remove {path.parent} to start it again"
        ) from problem
    logger.info("%s: going on after step %d", path.parent, state.step)
    return True
