"""Checks across cases and datasets: each a small function, collected in ``DATASET_CHECKS``."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mixcl_auto.records.case import RawDataset, Role
from mixcl_auto.records.finding import Finding
from mixcl_auto.records.inspection import CaseInspection
from mixcl_auto.validation.dataset_roles import Roles, meet, roles_of
from mixcl_auto.validation.patient_checks import (
    patients_are_in_one_role,
    series_of_a_patient_are_grouped,
    series_of_a_patient_are_in_one_role,
)

DatasetCheck = Callable[[Sequence[RawDataset], Sequence[CaseInspection]], Iterator[Finding]]

_KEPT_FIRST: tuple[Role, ...] = ("target", "both", "pretrain")
_SCAN_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr", ".dcm")


def every_file_is_used(datasets: Sequence[RawDataset], found: Sequence[CaseInspection]) -> Iterator[Finding]:
    """No scan lies among the cases without being one, under a name that is not read."""
    for dataset in datasets:
        cases = {case.id for case in dataset.cases}
        rest: dict[tuple[str, bool], list[str]] = defaultdict(list)
        for path in dataset.unused_files:
            channel = re.match(r"(.+)_\d{4}\.", path.name)
            is_scan = path.name.lower().endswith(_SCAN_ENDINGS)
            if is_scan and channel and channel[1] in cases:
                yield _further_channel(dataset.name, channel[1], path)
            else:
                rest[path.parent.name, is_scan].append(path.name)
        for (folder, is_scan), names in rest.items():
            yield _unused(dataset, folder, names, is_scan=is_scan)


def scans_differ(datasets: Sequence[RawDataset], found: Sequence[CaseInspection]) -> Iterator[Finding]:
    """No scan appears twice: a target's scan in the pool, or under two patients, leaks its labels.

    Of a scan in a target and in the pool, the pool's copy is the one too many.
    """
    roles = roles_of(datasets)
    groups: dict[str, list[CaseInspection]] = defaultdict(list)
    for case in found:
        if case.image:
            groups[case.image.content_sha256].append(case)
    for cases in groups.values():
        group = sorted(cases, key=lambda case: _KEPT_FIRST.index(roles[case.dataset]))
        for position, case in enumerate(group[1:], 1):
            leaking = (other for other in group[:position] if _leak(other, case, roles))
            yield _duplicate(next(leaking, group[0]), case, roles)


def label_maps_differ(datasets: Sequence[RawDataset], found: Sequence[CaseInspection]) -> Iterator[Finding]:
    """No label map with something in it serves scans of two patients: one of them got the wrong one."""
    first: dict[str, CaseInspection] = {}
    for case in found:
        if not (case.image and case.label) or not any(value > 0 for value in case.label_voxels):
            continue
        other = first.setdefault(case.label.content_sha256, case)
        same_scan = other.image and other.image.content_sha256 == case.image.content_sha256
        if other.patient != case.patient and not same_scan:
            message = (
                f"the same label map as {other.dataset}, {other.case}, but another scan; give each scan its "
                "own, or both the same `patient` in dataset.json if they are of one"
            )
            yield Finding(
                severity="warning",
                dataset=case.dataset,
                case=case.case,
                file=case.label.path,
                message=message,
            )


def every_label_occurs(datasets: Sequence[RawDataset], found: Sequence[CaseInspection]) -> Iterator[Finding]:
    """Every declared organ is labelled in some case."""
    for dataset in datasets:
        present = {value for case in found if case.dataset == dataset.name for value in case.label_voxels}
        for organ, value in dataset.labels.items():
            if present and value not in present:
                message = (
                    f"{organ} ({value}) is labelled in no case; nothing is learned or scored for it. "
                    "If it should be there, check the label maps"
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
    every_file_is_used,
    scans_differ,
    label_maps_differ,
    patients_are_in_one_role,
    series_of_a_patient_are_grouped,
    series_of_a_patient_are_in_one_role,
    every_label_occurs,
    orientations_agree,
)


def _leak(first: CaseInspection, second: CaseInspection, roles: Roles) -> bool:
    """Whether one scan in both places would show held-out labels to training."""
    if first.dataset != second.dataset:
        return meet(roles[first.dataset], roles[second.dataset])
    return roles[first.dataset] != "pretrain" and first.patient != second.patient


def _duplicate(first: CaseInspection, second: CaseInspection, roles: Roles) -> Finding:
    leaks = _leak(first, second, roles)
    between_targets = first.dataset != second.dataset and roles[second.dataset] == "target"
    advice = "it counts twice; remove one of them"
    if leaks:
        advice = "the held-out folds would leak; remove one of them"
    elif between_targets:
        advice = "two targets have it; nothing to do if each has its own labels of it"
    return Finding(
        severity="error" if leaks else "warning",
        dataset=second.dataset,
        case=second.case,
        file=second.image.path if second.image else None,
        message=f"the same scan as {first.dataset}, {first.case}: {advice}",
    )


def _further_channel(dataset: str, case: str, path: Path) -> Finding:
    message = (
        f"{path.name}: a further channel, but one is supported (_0000); move it out of {path.parent.name}, "
        "or list the files to use under `cases` in dataset.json"
    )
    return Finding(severity="error", dataset=dataset, case=case, file=str(path), message=message)


def _unused(dataset: RawDataset, folder: str, names: Sequence[str], *, is_scan: bool) -> Finding:
    some = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    if not is_scan:
        message = f"{folder}: no case uses {some}; nothing to do, unless a case's file is misnamed"
        return Finding(severity="warning", dataset=dataset.name, message=message)
    kind = "_0000" if folder == "imagesTr" else ""
    example = dataset.cases[0].image.name.rpartition("_0000")[2]
    message = (
        f"{folder}: no case uses {some}: files here are named <case>{kind}{example}; rename or convert them "
        "if they belong to the dataset"
    )
    return Finding(severity="warning", dataset=dataset.name, message=message)
