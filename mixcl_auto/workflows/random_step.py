"""One training step on random numbers, as pre-training and fine-tuning take it."""

import torch

from mixcl_auto.finetuning.objective import SegmentationObjective
from mixcl_auto.networks.initialise import initialise
from mixcl_auto.pretraining.objective import MixCLObjective, mixcl_settings
from mixcl_auto.pretraining.pretrain import build_mixcl_network
from mixcl_auto.records.plan import Plan, TrainerPlan
from mixcl_auto.training.device import Precision, limited_threads, resolve_precision
from mixcl_auto.training.loop import Objective, take_step
from mixcl_auto.training.networks import IMAGE_CHANNELS, build_network
from mixcl_auto.training.samples import Batch
from mixcl_auto.training.state import TrainingState, start_state


def take_random_step(plan: Plan, section: str, batch_size: int, device: torch.device) -> None:
    """Take that step of a run which needs most, on random numbers.

    It has AdamW's moments, and measures the gradient's shares if the run ever does.
    """
    trainer: TrainerPlan = plan.pretrain if section == "pretrain" else plan.finetune
    precision = resolve_precision(trainer.precision, device, plan.network.patch_size)
    prepare = _pretraining if section == "pretrain" else _finetuning
    with limited_threads(trainer.threads):
        state, objective, batch = prepare(plan, batch_size, device, precision)
        _fill_optimiser(state)
        take_step(
            objective,
            state,
            batch,
            measure_gradients=trainer.gradient_every > 0,
            gradient_clip_norm=trainer.gradient_clip_norm,
        )


def _pretraining(
    plan: Plan, batch_size: int, device: torch.device, precision: Precision
) -> tuple[TrainingState, Objective, Batch]:
    section, patch = plan.pretrain, plan.network.patch_size
    network = initialise(lambda: build_mixcl_network(plan), section.seed)
    state = start_state(network, section, device=device, precision=precision)
    objective = MixCLObjective(
        network, mixcl_settings(section), device=device, precision=precision, scale=state.scaler.scale
    )
    classes = max((dataset.class_count for dataset in plan.pool), default=2)
    images = ("patch_1", "patch_2", "view_1", "view_1_prime", "view_2")
    grid = network.backbone.levels[section.label_level].grid
    tensors = {name: torch.rand(batch_size, IMAGE_CHANNELS, *patch) for name in images}
    tensors |= {
        name: torch.randint(classes, (batch_size, *grid), dtype=torch.uint8)
        for name in ("labels_1", "labels_2")
    }
    tensors |= {name: torch.rand(batch_size, *grid) for name in ("weights_1", "weights_2")}
    numbers = {"class_count": [classes] * batch_size, "voxel_seed": list(range(batch_size))}
    return state, objective, Batch(tensors, (), numbers).to(device)


def _finetuning(
    plan: Plan, batch_size: int, device: torch.device, precision: Precision
) -> tuple[TrainingState, Objective, Batch]:
    section, patch = plan.finetune, plan.network.patch_size
    classes = max((dataset.class_count for dataset in plan.targets), default=2)
    network = initialise(lambda: build_network(plan.network, out_channels=classes), section.seed)
    state = start_state(network, section, device=device, precision=precision)
    objective = SegmentationObjective(network, section, device=device, precision=precision)
    tensors = {
        "image": torch.rand(batch_size, IMAGE_CHANNELS, *patch),
        "labels": torch.randint(classes, (batch_size, *patch), dtype=torch.uint8),
    }
    return state, objective, Batch(tensors, (), {}).to(device)


def _fill_optimiser(state: TrainingState) -> None:
    """Give AdamW its moments, which a run has from the second step on, without taking a step for it."""
    for group in state.optimiser.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    state.optimiser.step()
    state.optimiser.zero_grad(set_to_none=True)
