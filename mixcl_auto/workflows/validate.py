"""Checking raw data."""

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mixcl_auto.engines.cores import available_cores
from mixcl_auto.errors import DataError
from mixcl_auto.io.case_sizes import image_bytes
from mixcl_auto.io.files import check_writable, write_text
from mixcl_auto.io.raw_dataset import dataset_folders, misplaced_dataset, other_folders, read_raw_dataset
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.planning.machine import memory_gb
from mixcl_auto.planning.roles import resolve_roles
from mixcl_auto.progress import Progress
from mixcl_auto.records.case import RawDataset
from mixcl_auto.records.finding import Finding
from mixcl_auto.validation.resources import fitting_inspections
from mixcl_auto.validation.validate import validate_datasets
from mixcl_auto.workflows.inputs import Folder, link_raw_data, open_workspace

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Validation:
    """What was checked, and what was found."""

    path: Path
    """The same findings as JSON."""
    findings: tuple[Finding, ...]
    datasets: tuple[str, ...]
    cases: int


def validate(
    workspace: Folder = ".",
    *,
    raw_data: str | Path | None = None,
    datasets: Iterable[str] = (),
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Validation:
    """Check every case of the raw data and write every finding to ``validation.json``.

    Args:
        workspace: the folder of the project.
        raw_data: a folder of datasets elsewhere, or one dataset; linked into the workspace's ``raw_data``.
        datasets: the names of those to check; all if none is given.
        jobs: cases at once; as many as cores and memory allow if absent.
        progress: told of every case.

    Raises:
        DataError: if the workspace can't be written to, if there is no dataset, or if one of those named
            does not exist or can't be linked.
    """
    space, names = open_workspace(workspace), list(datasets)
    check_writable(space.root)
    if raw_data is not None:
        link_raw_data(space, raw_data, names)
    read, findings = read_datasets(space, names)
    chosen = resolve_roles(read)
    findings += validate_datasets(chosen, jobs=jobs or inspection_jobs(chosen), progress=progress)
    write_text(space.validation, findings_json(findings, chosen))
    checked = tuple(dataset.name for dataset in chosen)
    return Validation(
        space.validation, tuple(findings), checked, sum(len(dataset.cases) for dataset in chosen)
    )


def inspection_jobs(datasets: Iterable[RawDataset]) -> int:
    """How many cases to read at once: as many as there are cores, unless the memory holds fewer."""
    sizes = [image_bytes(case) for dataset in datasets for case in dataset.cases]
    cores = available_cores()
    jobs = fitting_inspections(sizes, memory_gb=memory_gb(), jobs=cores)
    if jobs < cores:
        logger.info("inspecting %d at once: the memory holds no more of the largest cases", jobs)
    return jobs


def read_datasets(workspace: Workspace, names: Iterable[str] = ()) -> tuple[list[RawDataset], list[Finding]]:
    """Read the datasets of these names, or all; one that can't be read is a finding, not the end.

    Raises:
        DataError: if there is no dataset, or one of those named does not exist.
    """
    folders = {folder.name: folder for folder in dataset_folders(workspace.raw_data)}
    wanted = list(dict.fromkeys(names))
    if unknown := [name for name in wanted if name not in folders]:
        raise DataError(
            f"{workspace.raw_data}: no dataset {', '.join(unknown)}; there are: {', '.join(folders)}"
        )
    found, findings = [], []
    for name in wanted or folders:
        try:
            found.append(read_raw_dataset(folders[name]))
        except DataError as problem:
            findings.append(_finding("error", name, str(problem), "description_is_usable"))
    if not wanted:
        findings += [_passed_over(folder) for folder in other_folders(workspace.raw_data)]
    return found, findings


def findings_json(findings: Sequence[Finding], datasets: Sequence[RawDataset] = ()) -> str:
    """Findings as indented JSON, errors and warnings apart, with the datasets that were checked."""
    document = {
        "errors": [found.model_dump(mode="json") for found in findings if found.severity == "error"],
        "warnings": [found.model_dump(mode="json") for found in findings if found.severity == "warning"],
        "datasets": {
            dataset.name: {"role": dataset.role, "cases": len(dataset.cases)} for dataset in datasets
        },
    }
    return json.dumps(document, indent=2) + "\n"


def _passed_over(folder: Path) -> Finding:
    """A folder without ``dataset.json``: an error where it looks like a dataset."""
    if (folder / "imagesTr").is_dir():
        message = "no dataset.json there, although it has imagesTr; write one, see raw_data_template"
        return _finding("error", folder.name, message, "folders_are_datasets")
    advice = misplaced_dataset(folder) or "see raw_data_template for what it holds"
    message = f"no dataset.json there: the folder is passed over; {advice}"
    return _finding("warning", folder.name, message, "folders_are_datasets")


def _finding(severity: Literal["error", "warning"], dataset: str, message: str, check: str) -> Finding:
    return Finding(severity=severity, dataset=dataset, message=message, check=check)
