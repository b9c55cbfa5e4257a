"""A trainer ready to be measured: its real samples, its network with its optimiser, its bare backbone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixcl_auto.finetuning.finetune import patch_source
from mixcl_auto.io.plans import read_split
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.networks.backbone import Backbone
from mixcl_auto.networks.mixcl import MixCLNetwork
from mixcl_auto.pretraining.pool import open_pool, pair_source
from mixcl_auto.records.plan import DatasetPlan, Plan, TrainerPlan
from mixcl_auto.training.cases import open_cases
from mixcl_auto.training.device import Precision, resolve_precision
from mixcl_auto.training.loop import Objective
from mixcl_auto.training.samples import Batch, SampleSource
from mixcl_auto.training.state import TrainingState
from mixcl_auto.workflows.benchmark_figures import StageName
from mixcl_auto.workflows.random_step import start_finetuning, start_pretraining

FOLD = 0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One trainer under a plan.

    Attributes:
        name: which.
        data: what the samples are drawn from, in words.
        cases: that it has.
        source: draws them.
        trainer: the section of the plan.
        iterations: steps of the whole run as planned.
        state: network and optimiser before the first step.
        objective: of that network.
        device: of the network.
        precision: of the network.
        images: all patches that the network sees of a batch, (N, 1, X, Y, Z).
        outputs: of the bare backbone for them, as far as the trainer's losses reach.
    """

    name: StageName
    data: str
    cases: int
    source: SampleSource
    trainer: TrainerPlan
    iterations: int
    state: TrainingState
    objective: Objective
    device: torch.device
    precision: Precision
    images: Callable[[Batch], Tensor]
    outputs: Callable[[Tensor], Sequence[Tensor]]


def pretraining_stage(workspace: Workspace, plan: Plan, device: torch.device) -> Stage:
    """Pre-training on the plan's pool.

    Raises:
        RunError: if the pool or its cache is not there, or the device lacks the plan's precision.
    """
    pool, section = open_pool(workspace, plan), plan.pretrain
    precision = resolve_precision(section.precision, device, plan.network.patch_size)
    method, state, objective = start_pretraining(plan, device, precision)
    network = method.network
    cases = sum(len(dataset.cases) for dataset in pool)
    return Stage(
        name="pretrain",
        data="the pool",
        cases=cases,
        source=pair_source(pool, plan, method.label_grid, with_targets=method.with_targets),
        trainer=section,
        iterations=section.total_iterations(cases),
        state=state,
        objective=objective,
        device=device,
        precision=precision,
        images=lambda batch: _views(network, batch),
        outputs=lambda images: _pretraining_outputs(network, images),
    )


def finetuning_stage(workspace: Workspace, plan: Plan, target: DatasetPlan, device: torch.device) -> Stage:
    """Fine-tuning on all training cases of a target's first fold.

    Raises:
        PlanError: if the target has no such fold.
        RunError: if the cache is not there, or the device lacks the plan's precision.
    """
    section = plan.finetune
    cases = open_cases(workspace, plan, target.name, read_split(workspace, target).training_cases(FOLD, 1.0))
    precision = resolve_precision(section.precision, device, plan.network.patch_size)
    state, objective = start_finetuning(plan, target.class_count, device, precision)
    network = objective.network
    return Stage(
        name="finetune",
        data=f"{target.name}, fold {FOLD}",
        cases=len(cases),
        source=patch_source(cases, plan),
        trainer=section,
        iterations=section.total_iterations(len(cases)),
        state=state,
        objective=objective,
        device=device,
        precision=precision,
        images=lambda batch: batch.tensors["image"],
        outputs=lambda images: [network(images)],
    )


def finish_work(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _views(network: Backbone | MixCLNetwork, batch: Batch) -> Tensor:
    """The views that the network sees, as one batch: all three, or of MixCL's those that its terms need."""
    views = ["view_1"]
    if isinstance(network, Backbone) or network.identity or network.reconstruction:
        views.append("view_1_prime")
    if isinstance(network, Backbone) or network.label or network.reconstruction:
        views.append("view_2")
    return torch.cat([batch.tensors[view] for view in views])


def _pretraining_outputs(network: Backbone | MixCLNetwork, images: Tensor) -> list[Tensor]:
    """The decoder's output; of MixCL's without the reconstruction term, the maps that are projected."""
    if isinstance(network, Backbone):
        return [network(images)]
    backbone = network.backbone
    maps = backbone.encode(images)
    if network.reconstruction:
        return [backbone.decode(maps)]
    return [maps[int(level)] for level in network.projectors]
