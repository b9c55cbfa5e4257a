"""Checks across cases and datasets: each a small function, collected in ``DATASET_CHECKS``."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations

from mixcl_auto.records.case import RawDataset
from mixcl_auto.records.finding import Finding
from mixcl_auto.records.inspection import CaseInspection

DatasetCheck = Callable[[Sequence[RawDataset], Sequence[CaseInspection]], Iterator[Finding]]


def scans_differ(datasets: Sequence[RawDataset], found: Sequence[CaseInspection]) -> Iterator[Finding]:
    """No scan appears twice: a target's scan in the pool, or under two patients, leaks its labels."""
    roles = {dataset.name: dataset.role for dataset in datasets}
    groups: dict[str, list[CaseInspection]] = defaultdict(list)
    for case in found:
        if case.image:
            groups[case.image.content_sha256].append(case)
    for group in groups.values():
        for first, second in combinations(group, 2):
            yield _duplicate(first, second, roles)


def patients_are_in_one_role(
    datasets: Sequence[RawDataset], found: Sequence[CaseInspection]
) -> Iterator[Finding]:
    """A patient named in a target dataset is not also named in the pool; ids taken from the case are passed.

    Without ``patient`` a case's own id stands in for it, and two datasets may both have a ``case_1``.
    """
    targets = {dataset.name for dataset in datasets if dataset.role == "target"}
    held = {case.patient: case for case in found if case.dataset in targets and case.patient != case.case}
    for case in found:
        if case.dataset not in targets and case.patient in held and case.patient != case.case:
            other = held[case.patient]
            message = (
                f"patient {case.patient!r} is in the pool ({case.dataset}, {case.case}) and in the target "
                f"({other.dataset}, {other.case}); take the scan out of the pool"
            )
            yield Finding(severity="error", dataset=case.dataset, case=case.case, message=message)


def every_label_occurs(datasets: Sequence[RawDataset], found: Sequence[CaseInspection]) -> Iterator[Finding]:
    """Every declared organ is labelled in some case."""
    for dataset in datasets:
        present = {value for case in found if case.dataset == dataset.name for value in case.label_voxels}
        for organ, value in dataset.labels.items():
            if present and value not in present:
                message = (
                    f"{organ} ({value}) is labelled in no case; remove it from dataset.json, or label it"
                )
                yield Finding(severity="warning", dataset=dataset.name, message=message)


def orientations_agree(datasets: Sequence[RawDataset], found: Sequence[CaseInspection]) -> Iterator[Finding]:
    """Mixed orientations are handled, but often mean that some files were converted wrongly."""
    for dataset in datasets:
        grids = [case.image.geometry for case in found if case.dataset == dataset.name and case.image]
        counts = Counter(grid.orientation for grid in grids)
        if len(counts) > 1:
            listed = ", ".join(f"{name} in {count}" for name, count in counts.most_common())
            message = f"the files are of mixed orientation ({listed} cases); look at one of each kind"
            yield Finding(severity="warning", dataset=dataset.name, message=message)


DATASET_CHECKS: tuple[DatasetCheck, ...] = (
    scans_differ,
    patients_are_in_one_role,
    every_label_occurs,
    orientations_agree,
)


def _duplicate(first: CaseInspection, second: CaseInspection, roles: Mapping[str, str]) -> Finding:
    (one, other), apart = (roles[first.dataset], roles[second.dataset]), first.dataset != second.dataset
    pool_meets_target = (one != "target" and other != "pretrain") or (one != "pretrain" and other != "target")
    leaks = pool_meets_target if apart else one != "pretrain" and first.patient != second.patient
    where = f"{first.dataset}, {first.case}"
    advice = "the held-out folds would leak" if leaks else "it counts twice"
    return Finding(
        severity="error" if leaks else "warning",
        dataset=second.dataset,
        case=second.case,
        file=second.image.path if second.image else None,
        message=f"the same scan as {where}: {advice}; remove one of them",
    )
