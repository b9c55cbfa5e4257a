"""Make a plan: start from a preset, let the rules settle fields from what was measured, and note why."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mixcl_auto.errors import PlanError
from mixcl_auto.io.plans import keep_other_plan, write_fingerprint, write_plan, write_split
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.planning import rules
from mixcl_auto.planning.draft import Draft, LeftOut
from mixcl_auto.planning.experiment_warnings import experiment_warnings
from mixcl_auto.planning.fingerprint import summarise
from mixcl_auto.planning.intensity import (
    check_cache_range,
    check_window,
    choose_intensity_step,
    choose_window,
)
from mixcl_auto.planning.memory import (
    Measure,
    StepMemory,
    check_memory,
    choose_batch_size,
    choose_budget,
    choose_recomputing,
    memory_warning,
    shrink_patch,
)
from mixcl_auto.planning.presets import load_preset
from mixcl_auto.planning.split import make_split
from mixcl_auto.planning.warnings import (
    finding_warnings,
    label_warnings,
    left_out_warnings,
    machine_warnings,
    role_warnings,
    split_warnings,
    window_warnings,
)
from mixcl_auto.records.case import RawDataset
from mixcl_auto.records.experiment import check_experiment
from mixcl_auto.records.finding import Finding
from mixcl_auto.records.fingerprint import DatasetFingerprint
from mixcl_auto.records.inspection import CaseInspection
from mixcl_auto.records.machine import Machine
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.plan_edits import edit_plan
from mixcl_auto.records.split import DatasetSplit

Request = Literal["auto"] | Sequence[float] | None


@dataclass(frozen=True)
class Planned:
    """A plan with the files that it names by hash."""

    plan: Plan
    fingerprints: tuple[DatasetFingerprint, ...]
    splits: tuple[DatasetSplit, ...]


def check_wishes(
    preset: str, edits: Iterable[str], *, spacing: Request, window: Request, memory_gb: float | None = None
) -> None:
    """See that the user's wishes can be met, as far as that does not depend on the data.

    Raises:
        PlanError: if one can't.
    """
    edit_plan(load_preset(preset), edits)
    if spacing is not None and spacing != "auto":
        rules.check_spacing(spacing)
    if window is not None and window != "auto":
        check_window(window)
    if memory_gb is not None:
        check_memory(memory_gb)


def make_plan(
    preset: str,
    datasets: Sequence[RawDataset],
    inspections: Sequence[CaseInspection],
    machine: Machine,
    *,
    spacing: Request = None,
    window: Request = None,
    edits: Iterable[str] = (),
    left_out: LeftOut | None = None,
    memory_gb: float | None = None,
    measure: Measure | None = None,
    findings: Sequence[Finding] = (),
) -> Planned:
    """Plan a project. Pure but for ``measure``: the same data, machine and wishes give the same plan.

    Args:
        preset: ``paper``, ``balanced`` or ``tiny``.
        datasets: with their roles settled.
        inspections: of their cases; those that are left out may be among them.
        machine: for threads and workers.
        spacing: ``auto``, or x, y, z in mm; the preset's where absent.
        window: ``auto``, or low and high in HU; the preset's where absent.
        edits: ``section.key=value``; a field so set is not settled by its rule.
        left_out: dataset and case to the reason why ``--skip-invalid`` leaves it out.
        memory_gb: of the device to plan for; that of the smallest GPU or of the machine where absent.
        measure: takes training steps where estimates of their memory come near the limit; estimates alone
            decide where absent.
        findings: of validation; the plan passes its warnings on to whoever reads it.

    Raises:
        PlanError: if a wish can't be met, or a target can't be split or has nothing labelled; DataError: if a
            case can't be used.
    """
    edits = list(edits)
    skipped = left_out or {}
    fingerprints = tuple(_fingerprint(dataset, inspections, skipped) for dataset in datasets)
    _refuse_unlabelled(datasets, fingerprints)
    splits = tuple(
        make_split(dataset.name, fingerprint.cases)
        for dataset, fingerprint in zip(datasets, fingerprints, strict=True)
        if dataset.role != "pretrain"
    )
    draft = Draft(
        edit_plan(load_preset(preset), edits), edited={edit.partition("=")[0].strip() for edit in edits}
    )
    draft.set_datasets(datasets, fingerprints, splits, skipped)
    _settle(draft, datasets, fingerprints, splits, machine, spacing, window)
    budget = choose_budget(machine, memory_gb)
    _settle_memory(draft, StepMemory(budget, measure) if budget else None)
    warnings = (
        *_warnings(draft.plan, datasets, fingerprints, splits, machine),
        *draft.warnings,
        *finding_warnings(draft.plan, findings),
    )
    plan = draft.plan.model_copy(update={"decisions": tuple(draft.decisions.values()), "warnings": warnings})
    checked = Plan.model_validate_json(plan.model_dump_json())
    check_experiment(checked)
    return Planned(checked, fingerprints, splits)


def save_planned(workspace: Workspace, name: str, planned: Planned) -> Path | None:
    """Write fingerprints, splits and, last, the plan that names them, ``plans/<name>.json``.

    Returns:
        Where another plan of that name is kept; absent if there was none.
    """
    for fingerprint in planned.fingerprints:
        write_fingerprint(workspace, fingerprint)
    for split in planned.splits:
        write_split(workspace, split)
    path = workspace.plan(name)
    kept = keep_other_plan(path, planned.plan)
    write_plan(path, planned.plan)
    return kept


def _settle(
    draft: Draft,
    datasets: Sequence[RawDataset],
    fingerprints: Sequence[DatasetFingerprint],
    splits: Sequence[DatasetSplit],
    machine: Machine,
    spacing: Request,
    window: Request,
) -> None:
    """Every rule in turn; later ones use what earlier ones chose."""
    pairs = list(zip(datasets, fingerprints, strict=True))
    pool = [fingerprint for dataset, fingerprint in pairs if dataset.role != "target"] or list(fingerprints)
    plan = draft.plan
    draft.settle("preprocess.spacing_mm", rules.choose_spacing(plan.preprocess.spacing_mm, spacing, pool))
    channels = [dataset.channel_name for dataset in datasets]
    wish = plan.preprocess.window_hu if "preprocess.window_hu" in draft.edited else window
    draft.settle(
        "preprocess.window_hu", choose_window(plan.preprocess.window_hu, wish, channels, fingerprints)
    )
    draft.settle(
        "preprocess.intensity_step", choose_intensity_step(draft.plan.preprocess.window_hu, channels)
    )
    check_cache_range(draft.plan.preprocess)
    draft.keep("preprocess.distance_unit", "unit of D in Eq. 7")
    spacing_mm = draft.plan.preprocess.spacing_mm
    draft.settle(
        "network.patch_size", rules.choose_patch_size(plan.network.patch_size, spacing_mm, fingerprints)
    )
    for key in ("feature_size", "hidden_size", "layers"):
        draft.keep(f"network.{key}", "size of the network")
    for section in ("pretrain", "finetune"):
        _settle_trainer(draft, section, machine)
    draft.keep("inference.overlap", "of neighbouring windows along each axis")
    draft.settle(
        "experiment.folds",
        rules.choose_folds(plan.experiment.folds, [len(split.folds) for split in splits]),
    )
    draft.keep("experiment.fractions", "of each fold's training cases, nested")
    draft.keep("experiment.inits", "initial weights that are compared")
    by_name = {fingerprint.dataset: fingerprint for fingerprint in fingerprints}
    for split in splits:
        draft.note_split(split, len({case.patient for case in by_name[split.dataset].cases}))


def _settle_trainer(draft: Draft, section: str, machine: Machine) -> None:
    draft.settle(f"{section}.threads", rules.choose_threads(machine, draft.plan.network))
    draft.settle(f"{section}.workers", rules.choose_workers(machine))
    draft.keep(f"{section}.precision", "auto: bf16 where the device has it, else fp16 on CUDA, else fp32")
    draft.keep(f"{section}.batch_size", "global, split over the processes; the memory is not known")
    draft.keep(f"{section}.iterations", "optimiser steps")
    draft.keep(f"{section}.epochs", "passes over the cases")
    draft.keep(f"{section}.learning_rate", "cosine schedule from this rate")
    draft.keep(f"{section}.foreground_fraction", "share of patches drawn for a labelled voxel")
    draft.keep(f"{section}.foreground_placement", "where in such a patch that voxel is")


def _settle_memory(draft: Draft, memory: StepMemory | None) -> None:
    """The batches; where they do not fit, a projector that is computed twice; at last a smaller patch.

    What the user has set stays, and brings a warning where it does not fit; with both set nothing is
    measured.
    """
    if memory is None:
        return
    uses = {"pretrain": draft.plan.pool, "finetune": draft.plan.targets}
    sections = [section for section, datasets in uses.items() if datasets]

    def of(section: str) -> StepMemory:
        """Nothing is measured for a trainer that does not run, or whose patch and batch the user has set."""
        fixed = {"network.patch_size", f"{section}.batch_size"} <= draft.edited
        return memory if section in sections and not fixed else StepMemory(memory.budget)

    draft.settle("pretrain.recompute_level_0", choose_recomputing(draft.plan, of("pretrain")))
    if "network.patch_size" not in draft.edited:
        smaller = shrink_patch(draft.plan, sections, memory)
        if smaller is not None:
            draft.settle("network.patch_size", smaller)
    for section in uses:
        draft.settle(f"{section}.batch_size", choose_batch_size(draft.plan, section, of(section)))
        warning = memory_warning(draft.plan, section, of(section)) if section in sections else None
        draft.warnings += [warning] if warning else []


def _warnings(
    plan: Plan,
    datasets: Sequence[RawDataset],
    fingerprints: Sequence[DatasetFingerprint],
    splits: Sequence[DatasetSplit],
    machine: Machine,
) -> tuple[str, ...]:
    undeclared = [dataset.name for dataset in datasets if not dataset.role_given]
    by_name = {fingerprint.dataset: fingerprint for fingerprint in fingerprints}
    found = [*role_warnings(plan, undeclared), *left_out_warnings(plan), *window_warnings(plan)]
    for dataset in plan.datasets:
        found += label_warnings(dataset, by_name[dataset.name], plan.preprocess.spacing_mm)
    for split in splits:
        target = plan.dataset(split.dataset)
        fractions = plan.experiment.fractions_of(target.name)
        found += split_warnings(target, by_name[split.dataset], split, fractions)
    return (*found, *experiment_warnings(plan, splits), *machine_warnings(plan, machine))


def _fingerprint(
    dataset: RawDataset, inspections: Sequence[CaseInspection], left_out: LeftOut
) -> DatasetFingerprint:
    kept = [
        found
        for found in inspections
        if found.dataset == dataset.name and (found.dataset, found.case) not in left_out
    ]
    return summarise(dataset.name, kept)


def _refuse_unlabelled(datasets: Sequence[RawDataset], fingerprints: Sequence[DatasetFingerprint]) -> None:
    """A target has something to learn and to score; in the pool a dataset without labels is of some use."""
    for dataset, fingerprint in zip(datasets, fingerprints, strict=True):
        if dataset.role != "pretrain" and fingerprint.foreground is None:
            raise PlanError(
                f"{dataset.name}: no case of this target has a labelled voxel, so nothing can be learnt or "
                f"scored; label some, or only pre-train on it with --pretrain {dataset.name}"
            )
