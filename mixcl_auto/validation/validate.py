"""Judge raw data: all problems of all cases at once."""

from collections.abc import Callable, Sequence

from mixcl_auto.io.inspection import inspect_datasets
from mixcl_auto.progress import Progress
from mixcl_auto.records.case import RawDataset
from mixcl_auto.records.finding import Finding
from mixcl_auto.records.inspection import CaseInspection
from mixcl_auto.validation.case_checks import CASE_CHECKS
from mixcl_auto.validation.dataset_checks import DATASET_CHECKS


def validate_datasets(
    datasets: Sequence[RawDataset], *, jobs: int = 1, progress: Progress | None = None
) -> list[Finding]:
    """Read all cases and judge them, also against each other."""
    return judge(datasets, inspect_datasets(datasets, jobs=jobs, progress=progress))


def judge(datasets: Sequence[RawDataset], inspections: Sequence[CaseInspection]) -> list[Finding]:
    """Judge cases that have been read, one by one and against each other."""
    by_name = {dataset.name: dataset for dataset in datasets}
    findings = [found for case in inspections for found in judge_case(by_name[case.dataset], case)]
    across = [_named(found, check) for check in DATASET_CHECKS for found in check(datasets, inspections)]
    return findings + across


def judge_case(dataset: RawDataset, inspection: CaseInspection) -> list[Finding]:
    """Judge a case by itself."""
    return [_named(found, check) for check in CASE_CHECKS for found in check(dataset, inspection)]


def invalid_cases(findings: Sequence[Finding]) -> dict[tuple[str, str], str]:
    """Dataset and case of every error of a case, to its first message: what ``--skip-invalid`` leaves out."""
    invalid: dict[tuple[str, str], str] = {}
    for found in findings:
        if found.severity == "error" and found.case is not None:
            invalid.setdefault((found.dataset, found.case), found.message)
    return invalid


def _named(found: Finding, check: Callable[..., object]) -> Finding:
    """The finding with the name of its check, by which findings of one kind are put together."""
    return found.model_copy(update={"check": check.__name__})
