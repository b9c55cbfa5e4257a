"""What a run must remember to go on as if it had never stopped.

Network, optimiser, gradient scaler and step: all random draws depend on (seed, step, index) and the
learning rate on the step, so there is no generator, sampler position or scheduler to save.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mixcl_auto.distributed.process_group import data_parallel
from mixcl_auto.distributed.ranks import ALONE, Ranks
from mixcl_auto.errors import RunError
from mixcl_auto.io.checkpoints import load_checkpoint, save_checkpoint
from mixcl_auto.networks.backbone import Backbone
from mixcl_auto.networks.mixcl import MixCLNetwork
from mixcl_auto.records.plan import Plan, TrainerPlan
from mixcl_auto.training.compilation import compile_network
from mixcl_auto.training.device import Precision
from mixcl_auto.training.optimiser import make_optimiser
from mixcl_auto.training.samples import split_batch

logger = logging.getLogger(__name__)


@dataclass
class TrainingState:
    """A network in training.

    Attributes:
        network: on its device.
        parallel: the network as the objective calls it: itself, or wrapped to average gradients over
            processes.
        optimiser: over the parameters that learn.
        scaler: scales the loss under fp16, else does nothing.
        is_spoilt: 0-d, on the device: 1 once a step was not finite, after which the weights stay as they are.
        step: how many steps are done.
    """

    network: nn.Module
    parallel: nn.Module
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    is_spoilt: Tensor
    step: int = 0


def start_state(
    network: Backbone | MixCLNetwork,
    plan: TrainerPlan,
    *,
    device: torch.device,
    precision: Precision,
    ranks: Ranks = ALONE,
    careful: Collection[str] = (),
    careful_factor: float = 1.0,
) -> TrainingState:
    """Bring a network to its device, with an optimiser of its own, before the first step.

    Where the plan says so it is compiled, for this process's part of the plan's batches.

    The weights are stored channels-last, as convolutions want them: a small network took a quarter less
    time per step on a CPU.

    Args:
        network: changed in place.
        plan: of the trainer.
        device: to train on.
        precision: of the network's passes.
        ranks: the processes that train together.
        careful: names of parameters that learn at ``careful_factor`` times the rate.
        careful_factor: see ``careful``.
    """
    # torch's own annotation of this overload wants the memory format alone.
    network.to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    if plan.compile:
        samples = len(split_batch(plan.batch_size, ranks))
        compile_network(network, batch_size=samples, threads=plan.threads, device=device, precision=precision)
    optimiser = make_optimiser(
        network.parameters(),
        learning_rate=plan.learning_rate,
        weight_decay=plan.weight_decay,
        careful=[parameter for name, parameter in network.named_parameters() if name in careful],
        careful_factor=careful_factor,
    )
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    is_spoilt = torch.zeros((), device=device)
    return TrainingState(network, data_parallel(network, ranks), optimiser, scaler, is_spoilt)


def scaled_loss(state: TrainingState, loss: Tensor) -> Tensor:
    """What to differentiate: the loss, scaled under fp16, and NaN there once a loss was not finite.

    A gradient of NaN makes the scaler skip the step, which it does by design also for single steps whose
    gradient alone overflows: so here the loss decides.

    Args:
        state: about to take the step.
        loss: 0-d.
    """
    if not state.scaler.is_enabled():
        return loss
    state.is_spoilt = torch.maximum(state.is_spoilt, (~torch.isfinite(loss.detach().float())).float())
    return state.scaler.scale(loss) * torch.where(state.is_spoilt > 0, torch.nan, 1.0)


def hold_if_not_finite(state: TrainingState, loss: Tensor, gradient_norm: Tensor) -> None:
    """Have the optimiser leave the weights alone from the first step on that is not finite.

    So what is found later, when the values come back from the device, still has the weights before that step;
    nothing waits for it. Under fp16 ``scaled_loss`` does it.

    Args:
        state: its optimiser is about to take the step.
        loss: 0-d.
        gradient_norm: 0-d, of all parameters together.
    """
    if state.scaler.is_enabled():
        return
    is_finite = torch.isfinite(loss.detach().float() + gradient_norm.float())
    state.is_spoilt = torch.maximum(state.is_spoilt, (~is_finite).float())
    # Read by AdamW's fused kernel, as the gradient scaler sets it.
    state.optimiser.found_inf = state.is_spoilt  # type: ignore[attr-defined]


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


def resume_state(
    path: Path, state: TrainingState, ranks: Ranks = ALONE, *, check: Callable[[Plan], None] | None = None
) -> bool:
    """Bring a fresh state to where the newest whole checkpoint was taken, by however many processes.

    Args:
        path: of the checkpoint.
        state: to bring there.
        ranks: the processes that train together.
        check: raises for a plan that this run may not go on from; the record beside the checkpoint may be
            gone.

    Returns:
        Whether there was one.

    Raises:
        RunError: if the checkpoint belongs to another network, or the processes do not see the same one.
        WeightsError: if there are checkpoints and none can be read.
    """
    document = load_checkpoint(path)
    if document is not None:
        if check is not None:
            check(Plan.from_json(document["plan"], source=str(path), error=RunError))
        _restore(path, state, document)
    steps = ranks.gather(state.step)
    if len(set(steps)) > 1:
        raise RunError(
            f"{path}: the processes would go on after different steps ({', '.join(map(str, steps))}): they "
            "do not see the same files; put the workspace on a file system that all machines share"
        )
    if document is not None and ranks.is_first:
        logger.info("%s: going on after step %d", path.parent, state.step)
    return document is not None


def _restore(path: Path, state: TrainingState, document: dict[str, Any]) -> None:
    """Bring a state to that of a checkpoint's document."""
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
