"""What a radiologist or a statistician would want to be told about a plan; each a small function."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from mixcl_auto.planning.rules import training_hours
from mixcl_auto.planning.split import labels_of
from mixcl_auto.records.finding import Finding
from mixcl_auto.records.fingerprint import DatasetFingerprint
from mixcl_auto.records.machine import Machine
from mixcl_auto.records.plan import DatasetPlan, Plan
from mixcl_auto.records.split import DatasetSplit

_SLOW_HOURS = 2.0
_FEWEST_VOXELS = 64
"""Of an organ on the plan's grid: 8 on that of the level whose voxels the label loss compares."""
_FEWEST_STEPS = 32
_MOST_NAMED = 3
"""Cases that a warning lists."""


def role_warnings(plan: Plan, undeclared: Sequence[str]) -> Iterator[str]:
    """Roles that nobody gave, targets in the pool, and a missing pool or target."""
    for dataset in plan.datasets:
        if dataset.name in undeclared:
            yield (
                f"{dataset.name}: dataset.json gives no role; taken as {dataset.role!r}. Give `role` there, "
                "or --pretrain / --target"
            )
        if dataset.role == "both":
            yield (
                f"{dataset.name} is a target and in the pre-training pool with all its labels, those of the "
                "held-out folds too: its scores with pre-training are not to be trusted. Use a role of "
                "`pretrain` or `target`"
            )
    if not plan.pool:
        yield "no dataset to pre-train on; give one the role `pretrain`, or --pretrain NAME"
    if not plan.targets:
        yield "no dataset to fine-tune on; give one the role `target`, or --target NAME"


def left_out_warnings(plan: Plan) -> Iterator[str]:
    """Cases that ``--skip-invalid`` left out."""
    for dataset in plan.datasets:
        for case, reason in dataset.left_out.items():
            yield f"{dataset.name}, case {case} is left out: {reason}"


def window_warnings(plan: Plan) -> Iterator[str]:
    """A window that the cache's steps can hardly resolve, such as scans from 0 to 1 taken for CT."""
    (low, high), step = plan.preprocess.window_hu, plan.preprocess.intensity_step
    if (steps := (high - low) / step) < _FEWEST_STEPS:
        yield (
            f"the window from {low:g} to {high:g} has {steps:.3g} steps of {step:g} in the cache, which "
            "blurs intensities; if the scans are no CT in HU, say so under `channel_names` in dataset.json, "
            "else set a smaller preprocess.intensity_step"
        )


def label_warnings(
    dataset: DatasetPlan, fingerprint: DatasetFingerprint, spacing_mm: Sequence[float]
) -> Iterator[str]:
    """A dataset without labels, and organs of which the plan's grid leaves hardly anything, or nothing."""
    if fingerprint.foreground is None:
        yield (
            f"{dataset.name}: no case has a labelled voxel, so it plays no part in the label loss; identity "
            "and reconstruction learn from it"
        )
    grid = f"{' x '.join(f'{value:g}' for value in spacing_mm)} mm"
    left = {
        organ: _voxels_left(fingerprint, value, math.prod(spacing_mm))
        for organ, value in dataset.labels.items()
    }
    yield from _small_organs(dataset.name, left, grid)
    yield from _lost_organs(dataset.name, left, grid)


def _small_organs(dataset: str, left: Mapping[str, Mapping[str, float]], grid: str) -> Iterator[str]:
    """Organs of few voxels in most cases, in one warning."""
    medians = {organ: median(cases.values()) for organ, cases in left.items() if cases}
    small = [
        f"{organ} (some {voxels:{'.2g' if voxels < 1 else '.0f'}})"
        for organ, voxels in medians.items()
        if voxels < _FEWEST_VOXELS
    ]
    if small:
        yield (
            f"{dataset}: few voxels are left at {grid} of {', '.join(small)}, the median over cases; "
            "choose a finer --spacing if that counts"
        )


def _lost_organs(dataset: str, left: Mapping[str, Mapping[str, float]], grid: str) -> Iterator[str]:
    """Organs of less than one voxel in some case; the median over cases does not show them."""
    for organ, cases in left.items():
        if lost := [case for case, voxels in cases.items() if voxels < 1]:
            named = ", ".join(lost[:_MOST_NAMED]) + (" ..." if len(lost) > _MOST_NAMED else "")
            yield (
                f"{dataset}: {organ} has less than one voxel at {grid} in {len(lost)} of {len(cases)} cases "
                f"({named}) and may be lost there; where it is, nothing is learned of it and a held-out case "
                "scores 0. Check the label maps, or choose a finer --spacing"
            )


def _voxels_left(fingerprint: DatasetFingerprint, label: int, voxel_mm3: float) -> dict[str, float]:
    """An organ's volume in voxels of the plan's grid, for each case that has it."""
    return {
        case.id: case.label_voxels[label] * math.prod(case.spacing_mm) / voxel_mm3
        for case in fingerprint.cases
        if case.label_voxels.get(label)
    }


def finding_warnings(plan: Plan, findings: Sequence[Finding]) -> Iterator[str]:
    """The warnings of validation, folded by dataset and kind; those of cases left out count no more."""
    left_out = {(dataset.name, case) for dataset in plan.datasets for case in dataset.left_out}
    names = {dataset.name for dataset in plan.datasets}
    groups: dict[tuple[str, tuple[str, str]], list[Finding]] = defaultdict(list)
    for found in findings:
        counts = found.dataset in names and (found.dataset, found.case) not in left_out
        if found.severity == "warning" and counts:
            groups[found.dataset, found.kind].append(found)
    for (dataset, _), group in groups.items():
        case = f", case {group[0].case}" if group[0].case else ""
        others = f" (and {len(group) - 1} more of this kind)" if len(group) > 1 else ""
        yield f"{dataset}{case}: {group[0].message}{others}"


def split_warnings(
    dataset: DatasetPlan, fingerprint: DatasetFingerprint, split: DatasetSplit, fractions: Sequence[float]
) -> Iterator[str]:
    """Organs absent from a fold's held-out cases or from a fraction of the others; equal fractions."""
    organs = {value: organ for organ, value in dataset.labels.items()}
    present = {case.id: labels_of(case) for case in fingerprint.cases}
    for index, fold in enumerate(split.folds):
        missing = _missing(organs, present, fold.held_out)
        if missing:
            yield f"{dataset.name}, fold {index}: no held-out case has {missing}; not scored there"
        yield from _fraction_warnings(dataset, organs, present, split, index, fractions)
    sizes = {fraction: len(split.training_cases(0, fraction)) for fraction in sorted(fractions)}
    if len(set(sizes.values())) < len(sizes):
        listed = ", ".join(f"{fraction:g} is {size}" for fraction, size in sizes.items())
        yield f"{dataset.name}: some fractions give the same number of training cases ({listed})"


def _fraction_warnings(
    dataset: DatasetPlan,
    organs: Mapping[int, str],
    present: Mapping[str, frozenset[int]],
    split: DatasetSplit,
    index: int,
    fractions: Sequence[float],
) -> Iterator[str]:
    """The largest fraction that lacks an organ says it all: smaller ones are its prefixes."""
    told: set[str] = set()
    for fraction in sorted(fractions, reverse=True):
        missing = _missing(organs, present, split.training_cases(index, fraction))
        if missing and missing not in told:
            told.add(missing)
            yield f"{dataset.name}, fold {index}, fraction {fraction:g}: no training case has {missing}"


def _missing(organs: Mapping[int, str], present: Mapping[str, frozenset[int]], cases: Sequence[str]) -> str:
    found = frozenset().union(*(present[case] for case in cases))
    return ", ".join(organ for value, organ in organs.items() if value not in found)


def machine_warnings(plan: Plan, machine: Machine) -> Iterator[str]:
    """What the plan would take on a machine without a GPU."""
    if machine.accelerators:
        return
    cores = machine.physical_cores
    pool = sum(len(dataset.cases) for dataset in plan.pool)
    largest = max((len(dataset.cases) for dataset in plan.targets), default=1)
    pretraining = training_hours(plan.network, plan.pretrain, cases=pool, views=3, cores=cores)
    finetuning = training_hours(plan.network, plan.finetune, cases=largest, views=1, cores=cores)
    if max(pretraining, finetuning) > _SLOW_HOURS:
        yield (
            f"no GPU was found: on these {cores} cores pre-training would take some {pretraining:.0f} h, and "
            f"each fine-tuning some {finetuning:.0f} h. --preset tiny is made for a CPU"
        )
