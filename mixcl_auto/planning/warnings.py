"""What a radiologist or a statistician would want to be told about a plan; each a small function."""

from collections.abc import Iterator, Mapping, Sequence

from mixcl_auto.planning.rules import training_hours
from mixcl_auto.planning.split import labels_of
from mixcl_auto.records.fingerprint import DatasetFingerprint
from mixcl_auto.records.machine import Machine
from mixcl_auto.records.plan import DatasetPlan, Plan
from mixcl_auto.records.split import DatasetSplit

_SLOW_HOURS = 2.0


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
