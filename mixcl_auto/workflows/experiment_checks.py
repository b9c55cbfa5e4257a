"""What would make every run of an experiment fail, found before the first one starts."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from mixcl_auto.errors import MixCLError, PlanError, RunError
from mixcl_auto.io.files import check_writable
from mixcl_auto.io.runs import read_finetune_run, read_pretrain_run
from mixcl_auto.io.workspace import FinetuneFolder, PretrainFolder
from mixcl_auto.records.experiment import check_experiment, init_name, pretrainings_for
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.plan_edits import leave_out, use_method
from mixcl_auto.reporting.comparable import other_encoder
from mixcl_auto.training.cases import open_cases
from mixcl_auto.training.earlier_runs import (
    refuse_other_finetuning,
    refuse_other_pretraining,
    with_seed_of,
)
from mixcl_auto.workflows.experiment_status import Overview
from mixcl_auto.workflows.experiment_units import (
    Experiment,
    GridUnit,
    every_init,
    given_inits,
    is_pretrained,
)
from mixcl_auto.workflows.inputs import Project


def check_before_start(experiment: Experiment) -> None:
    """Check plan, initial weights, cache and earlier runs, and that results may be written.

    Raises:
        DataError: if they may not.
        PlanError: if the experiment does not go with the plan.
        RunError: naming what is not there, or what was run under another plan.
    """
    plan = experiment.project.plan
    check_experiment(plan)
    if not plan.targets:
        raise PlanError(f"{experiment.plan_path}: the plan has no target; plan again with --target NAME")
    check_writable(experiment.project.workspace.plan_results(experiment.project.plan_name))
    units = experiment.units()
    _check_inits(experiment.project, units)
    _check_earlier_runs(experiment.project, units)
    _check_cache(experiment.project, units)


def mark_refused(experiment: Experiment, overview: Overview) -> Overview:
    """What ``check_before_start`` would refuse of that which is done, such as runs of ``finetune --set``."""
    project = experiment.project
    entries = tuple(
        replace(entry, state="refused", note=reason)
        if entry.state == "done" and (reason := _refusal(project, entry.unit))
        else entry
        for entry in overview.entries
    )
    return replace(overview, entries=entries)


def check_gpus(plan: Plan, gpus_per_run: float | None) -> None:
    """Several GPUs share a batch evenly.

    Raises:
        RunError: if they can't.
    """
    if gpus_per_run is None or gpus_per_run <= 1:
        return
    if gpus_per_run != int(gpus_per_run):
        raise RunError(
            f"--gpus-per-run {gpus_per_run:g}: write a fraction below 1 (runs share a GPU) or a whole number"
        )
    for section in ("pretrain", "finetune"):
        if (size := getattr(plan, section).batch_size) % gpus_per_run:
            raise RunError(
                f"--gpus-per-run {gpus_per_run:g}: {section}.batch_size is {size}, which so many GPUs can't "
                "share evenly; give a divisor of it, or plan another batch"
            )
    if plan.finetune.score_at:
        raise RunError(
            f"--gpus-per-run {gpus_per_run:g}: finetune.score_at needs runs of one process; empty it, or "
            "give each run one GPU"
        )


def check_device(device: str | None) -> None:
    """Every run sees only the GPU that the engine gives it.

    Raises:
        RunError: if a certain GPU is asked for.
    """
    if device is not None and device.startswith("cuda:"):
        raise RunError(
            f"--device {device}: the engine gives each run its GPU; say --device cpu, or choose GPUs with "
            "CUDA_VISIBLE_DEVICES"
        )


def _check_inits(project: Project, units: Iterable[GridUnit]) -> None:
    """Every init is random, or can be pre-trained, or is there; and no two are called the same."""
    from mixcl_auto.finetuning.initial_weights import find_init

    plan, used = project.plan, {unit.arm[1] for unit in units if not unit.is_pretraining}
    can_be_made = {made.name for made in pretrainings_for(plan, used)}
    mistakes = [
        f"several are called {name!r} in results: rename the file"
        for name, count in Counter(map(init_name, every_init(plan))).items()
        if count > 1
    ]
    for name, init in given_inits(plan).items():
        if name not in used or init in can_be_made:
            continue
        try:
            find_init(project.workspace, project.plan_name, init)
        except MixCLError as problem:
            mistakes.append(str(problem))
    if mistakes:
        lines = "\n".join(f"  {mistake}" for mistake in mistakes)
        raise RunError(f"experiment.inits of plan {project.plan_name!r} can't all be used:\n{lines}")


def _check_earlier_runs(project: Project, units: Iterable[GridUnit]) -> None:
    """What is done, and so will be skipped, was done under this plan and from the encoders that are there."""
    finetunings = []
    for unit in units:
        if not unit.is_done:
            continue
        _compare_plan(project.plan, unit)
        if isinstance(unit.folder, FinetuneFolder):
            finetunings.append(unit.folder)
    _compare_encoders(project, finetunings)


def _refusal(project: Project, unit: GridUnit) -> str:
    """Why ``_check_earlier_runs`` refuses a unit that is done; empty if it does not."""
    try:
        _compare_plan(project.plan, unit)
        _compare_encoders(project, [unit.folder] if isinstance(unit.folder, FinetuneFolder) else [])
    except RunError as problem:
        return str(problem)
    return ""


def _compare_plan(plan: Plan, unit: GridUnit) -> None:
    if isinstance(unit.folder, PretrainFolder):
        _compare_pretraining(plan, unit.folder)
    else:
        _compare_finetuning(plan, unit.folder)


def _compare_pretraining(plan: Plan, folder: PretrainFolder) -> None:
    """It is what its name says, by method and terms too."""
    (made,) = pretrainings_for(plan, [folder.path.name])
    now = leave_out(use_method(plan, made.method), made.without)
    refuse_other_pretraining(folder.path, read_pretrain_run(folder).plan, now)


def _compare_finetuning(plan: Plan, folder: FinetuneFolder) -> None:
    run = read_finetune_run(folder)
    refuse_other_finetuning(folder.path, run, with_seed_of(run, plan))


def _compare_encoders(project: Project, folders: Iterable[FinetuneFolder]) -> None:
    """Fine-tunings of one init started from one encoder: that of the pre-training that is there now."""
    others = []
    for folder in folders:
        run = read_finetune_run(folder)
        made = project.workspace.pretrain(project.plan_name, run.init)
        if is_pretrained(made) and other_encoder(run, {run.init: read_pretrain_run(made)}):
            others.append(f"  {folder.path}: not from {made.encoder}")
    if others:
        lines = "\n".join(others)
        raise RunError(
            f"finished fine-tunings started from another encoder than their pre-training now has:\n{lines}\n"
            "remove these folders to fine-tune again from what is there, or put the earlier pre-training back"
        )


def _check_cache(project: Project, units: Iterable[GridUnit]) -> None:
    """Every case that a run trains on or predicts is there."""
    plan = project.plan
    pending = [unit for unit in units if not unit.is_done]
    datasets = {unit.arm[0] for unit in pending if not unit.is_pretraining}
    if any(unit.is_pretraining for unit in pending):
        if not plan.pool:
            raise RunError(
                "the plan has no pool to pre-train on; plan again with --pretrain NAME, or leave the "
                "pre-trainings out of experiment.inits"
            )
        datasets |= {dataset.name for dataset in plan.pool}
    for name in sorted(datasets):
        open_cases(project.workspace, plan, name, plan.dataset(name).cases)
