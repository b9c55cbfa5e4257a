"""What limits the training of a plan on this machine, measured on its own cache; nothing is written."""

import logging
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import torch

from mixcl_auto.engines.cores import available_cores
from mixcl_auto.engines.host_memory import keep_freed_memory
from mixcl_auto.errors import PlanError, RunError
from mixcl_auto.progress import Progress, Silent
from mixcl_auto.records.plan import Plan
from mixcl_auto.training.device import choose_device, limited_threads
from mixcl_auto.training.optimiser import learning_rate, set_learning_rate
from mixcl_auto.training.timing import peak_memory_mb
from mixcl_auto.workflows.benchmark_figures import StageFigures, StageName
from mixcl_auto.workflows.benchmark_parts import DRAWS, measure_rounds, sample_seconds
from mixcl_auto.workflows.benchmark_run import run_length, short_run
from mixcl_auto.workflows.benchmark_stage import Stage, finetuning_stage, pretraining_stage
from mixcl_auto.workflows.inputs import (
    Folder,
    Project,
    choose_target,
    open_project,
    refuse_idle_edits,
)

logger = logging.getLogger(__name__)


def benchmark(
    workspace: Folder = ".",
    *,
    plan: str | Path | None = None,
    stage: Literal["pretrain", "finetune", "both"] = "both",
    dataset: str | None = None,
    steps: int = 10,
    edits: Iterable[str] = (),
    device: str | None = None,
    progress: Progress | None = None,
) -> list[StageFigures]:
    """Measure what a training step consists of, and what a short run waits for.

    Args:
        workspace: the folder of the project, with the plan's cache.
        plan: a path, or the name of a file under ``plans/``; ``plan.json`` if absent.
        stage: what to measure; of ``both``, what the plan has no datasets for is left out.
        dataset: the target to fine-tune on; may be absent where the plan has one.
        steps: of the short run, at least 1; a step's parts are measured half as often.
        edits: ``section.key=value``, applied to a copy of the plan.
        device: such as ``cpu`` or ``cuda:1``; a GPU if there is one, if absent.
        progress: told of every round and step.

    Returns:
        The figures of each trainer measured; ``advice`` says what limits it.

    Raises:
        PlanError: if the plan, an edit or the dataset can't be used.
        RunError: if there is nothing to measure on, no cache or no such device.
    """
    if steps < 1:
        raise RunError(f"a benchmark takes at least 1 step, got {steps}")
    edits = list(edits)
    project = open_project(workspace, plan, edits)
    stages = choose_stages(project.plan, stage)
    refuse_idle_edits(edits, "benchmark", ("preprocess", "network", *stages))
    if dataset is not None and "finetune" not in stages:
        raise PlanError(f"-d {dataset}: pre-training takes the whole pool; leave it out")
    if "finetune" in stages:
        choose_target(project.plan, dataset)  # refused now, not after the pool was measured
    chosen = choose_device(device)
    return [
        measure_stage(_open_stage(name, project, dataset, chosen), steps, progress or Silent())
        for name in stages
    ]


def _open_stage(name: StageName, project: Project, dataset: str | None, device: torch.device) -> Stage:
    workspace, plan = project.workspace, project.plan
    if name == "pretrain":
        return pretraining_stage(workspace, plan, device)
    return finetuning_stage(workspace, plan, choose_target(plan, dataset), device)


def choose_stages(plan: Plan, stage: Literal["pretrain", "finetune", "both"]) -> tuple[StageName, ...]:
    """The trainers to measure: the one named, or those that the plan has cases for.

    Raises:
        RunError: if it has none at all.
    """
    if stage != "both":
        return (stage,)
    there: dict[StageName, bool] = {
        "pretrain": any(dataset.cases for dataset in plan.pool),
        "finetune": any(dataset.cases for dataset in plan.targets),
    }
    if not any(there.values()):
        raise RunError(
            "the plan has no dataset to measure on; name one that `mixcl_auto plan_and_preprocess` made (-p)"
        )
    if not there["pretrain"]:
        logger.info("the plan has no dataset to pre-train on: only fine-tuning is measured")
    if not there["finetune"]:
        logger.info("the plan has no target to fine-tune on: only pre-training is measured")
    return tuple(name for name, is_there in there.items() if is_there)


def measure_stage(stage: Stage, steps: int, progress: Progress) -> StageFigures:
    """Measure the loader, the parts of a step and a short run.

    Args:
        stage: its network learns meanwhile.
        steps: of the run, rounded up as ``run_length`` says; half as many rounds of a step's parts.
        progress: told of every draw, round and step.

    Raises:
        RunError: if a sample can't be drawn, or one loader worker after the other died.
    """
    trainer = stage.trainer
    round_count = -(-steps // 2)
    warm_ups, run_steps = run_length(steps, trainer.workers)
    progress.start(f"Benchmark of {stage.name}", DRAWS + round_count + warm_ups + run_steps)
    _prepare(stage)
    try:
        sample_s, sample_cpu_s = sample_seconds(stage, progress)
        with limited_threads(trainer.threads):
            rounds, gradients_s = measure_rounds(stage, round_count, progress)
            run = short_run(stage, warm_ups, run_steps, progress)
    finally:
        progress.finish()
    return StageFigures(
        stage=stage.name,
        data=stage.data,
        cases=stage.cases,
        device=str(stage.device),
        precision=stage.precision,
        threads=trainer.threads,
        workers=trainer.workers,
        cores=available_cores(),
        batch_size=trainer.batch_size,
        patches=rounds[0].patches,
        iterations=stage.iterations,
        gradient_every=trainer.gradient_every,
        sample_s=sample_s,
        sample_cpu_s=sample_cpu_s,
        network_s=statistics.median(item.network_s for item in rounds),
        step_over_network=statistics.median(item.step_s / item.network_s for item in rounds),
        optimiser_s=statistics.median(item.optimiser_s for item in rounds),
        gradients_s=gradients_s,
        run_steps=run.steps,
        run_step_s=run.step_s,
        waiting_share=run.waiting_share,
        peak_memory_mb=peak_memory_mb(stage.device),
    )


def _prepare(stage: Stage) -> None:
    """Bring the network to its first step, and forget what was allocated before."""
    trainer, state = stage.trainer, stage.state
    rate = learning_rate(
        0, peak=trainer.learning_rate, steps=stage.iterations, warmup_steps=trainer.warmup_iterations
    )
    set_learning_rate(state.optimiser, rate)
    state.network.train()
    if stage.device.type == "cpu":
        keep_freed_memory()
    if stage.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(stage.device)
