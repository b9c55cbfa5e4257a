"""One training step on random numbers, as pre-training and fine-tuning take it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mixcl_auto.engines.host_memory import keep_freed_memory
from mixcl_auto.finetuning.objective import SegmentationObjective
from mixcl_auto.networks.initialise import initialise
from mixcl_auto.pretraining.methods import PretrainingMethod, planned_method
from mixcl_auto.pretraining.pool import planned_pool
from mixcl_auto.records.plan import DatasetPlan, Plan, TrainerPlan
from mixcl_auto.training.device import Precision, limited_threads, resolve_precision
from mixcl_auto.training.loop import Objective, take_step
from mixcl_auto.training.networks import IMAGE_CHANNELS, build_network
from mixcl_auto.training.patches import Index
from mixcl_auto.training.samples import Batch
from mixcl_auto.training.state import TrainingState, start_state


def take_random_step(plan: Plan, section: str, batch_size: int, device: torch.device) -> None:
    """Take that step of a run which needs most, on random numbers.

    It has AdamW's moments, and measures the gradient's shares if the run ever does.
    """
    trainer: TrainerPlan = plan.pretrain if section == "pretrain" else plan.finetune
    precision = _precision(trainer, device, plan)
    if device.type == "cpu":
        keep_freed_memory()
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


def _precision(trainer: TrainerPlan, device: torch.device, plan: Plan) -> Precision:
    """The plan's, but none that a CPU emulates a hundred times slower, or lacks: it is meant for a GPU."""
    wanted = trainer.precision if device.type == "cuda" or trainer.precision == "fp32" else "auto"
    return resolve_precision(wanted, device, plan.network.patch_size)


def random_pairs(plan: Plan, batch_size: int, label_grid: Index, *, with_targets: bool = True) -> Batch:
    """Noise in the form of what a ``PairSource`` draws, from the pool's dataset of most classes."""
    class_counts = [dataset.class_count for dataset in planned_pool(plan)] or [2]
    classes = max(class_counts)
    patches = ("patch_1", "patch_2") if with_targets else ()
    images = (*patches, "view_1", "view_1_prime", "view_2")
    shape = (batch_size, IMAGE_CHANNELS, *plan.network.patch_size)
    tensors = {name: torch.rand(shape) for name in images}
    for view in ("1", "2"):
        tensors[f"labels_{view}"] = _random_labels(classes, (batch_size, *label_grid))
        if with_targets:
            tensors[f"weights_{view}"] = torch.rand(batch_size, *label_grid)
    numbers = {
        "dataset": [class_counts.index(classes)] * batch_size,
        "class_count": [classes] * batch_size,
        "voxel_seed": list(range(batch_size)),
    }
    return Batch(tensors, (), numbers)


def random_patches(plan: Plan, batch_size: int) -> Batch:
    """Noise in the form of what a ``PatchSource`` draws, with as many classes as the targets have at most."""
    patch = plan.network.patch_size
    tensors = {
        "image": torch.rand(batch_size, IMAGE_CHANNELS, *patch),
        "labels": _random_labels(_most_classes(plan.targets), (batch_size, *patch)),
    }
    return Batch(tensors, (), {})


def start_pretraining(
    plan: Plan, device: torch.device, precision: Precision
) -> tuple[PretrainingMethod, TrainingState, Objective]:
    """A plan's pre-training before its first step."""
    method = planned_method(plan, planned_pool(plan))
    state = start_state(method.network, plan.pretrain, device=device, precision=precision)
    return method, state, method.objective(state, device=device, precision=precision)


def start_finetuning(
    plan: Plan, class_count: int, device: torch.device, precision: Precision
) -> tuple[TrainingState, SegmentationObjective]:
    """A plan's fine-tuning from random weights, before its first step."""
    section = plan.finetune
    network = initialise(lambda: build_network(plan.network, out_channels=class_count), section.seed)
    state = start_state(network, section, device=device, precision=precision)
    return state, SegmentationObjective(network, section, device=device, precision=precision)


def _pretraining(
    plan: Plan, batch_size: int, device: torch.device, precision: Precision
) -> tuple[TrainingState, Objective, Batch]:
    method, state, objective = start_pretraining(plan, device, precision)
    batch = random_pairs(plan, batch_size, method.label_grid, with_targets=method.with_targets)
    return state, objective, batch.to(device)


def _finetuning(
    plan: Plan, batch_size: int, device: torch.device, precision: Precision
) -> tuple[TrainingState, Objective, Batch]:
    state, objective = start_finetuning(plan, _most_classes(plan.targets), device, precision)
    return state, objective, random_patches(plan, batch_size).to(device)


def _most_classes(datasets: Sequence[DatasetPlan]) -> int:
    return max((dataset.class_count for dataset in datasets), default=2)


def _random_labels(classes: int, shape: Sequence[int]) -> Tensor:
    return torch.randint(classes, tuple(shape), dtype=torch.uint8)


def _fill_optimiser(state: TrainingState) -> None:
    """Give AdamW its moments, which a run has from the second step on, without taking a step for it."""
    for group in state.optimiser.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    state.optimiser.step()
    state.optimiser.zero_grad(set_to_none=True)
