"""Read a case once and note everything that validation judges and planning measures."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixcl_auto.engines.process_pool import run_tasks
from mixcl_auto.errors import DataError, MixCLError
from mixcl_auto.io.case_files import read_case_image, read_case_labels
from mixcl_auto.io.case_sizes import image_bytes
from mixcl_auto.io.images import content_sha256
from mixcl_auto.io.intensity_statistics import intensity_statistics, label_counts, quantile_sketch
from mixcl_auto.io.itk import FileContent
from mixcl_auto.io.orientation import from_ras, ras_shape, to_ras
from mixcl_auto.io.voxel_values import image_values, label_values
from mixcl_auto.progress import Progress
from mixcl_auto.records.case import RawCase, RawDataset
from mixcl_auto.records.inspection import CaseInspection, FileFacts

Array = npt.NDArray[Any]


def inspect_datasets(
    datasets: Sequence[RawDataset], *, jobs: int = 1, progress: Progress | None = None
) -> list[CaseInspection]:
    """Inspect every case of the datasets, the largest first; returned in the datasets' order.

    Args:
        datasets: what to read.
        jobs: processes.
        progress: told of every case.
    """
    tasks = [(dataset.name, case) for dataset in datasets for case in dataset.cases]
    largest_first = sorted(tasks, key=lambda task: image_bytes(task[1]), reverse=True)
    outcomes = run_tasks(
        _inspect_task,
        largest_first,
        jobs=jobs,
        name=_task_name,
        description="Inspecting cases",
        progress=progress,
    )
    found = {outcome.task: outcome.value or _failed(outcome.task, outcome.error) for outcome in outcomes}
    return [found[task] for task in tasks]


def inspect_case(dataset: str, case: RawCase) -> CaseInspection:
    """Read both files of a case; what can't be read is noted, not raised."""
    problems: dict[str, str] = {}
    image = _read(case.image, problems, lambda: read_case_image(case, hashed=True))
    label = None
    if case.label is not None and (image is not None or case.label_flips is None):
        grid = None if image is None else image.geometry
        label = _read(case.label, problems, lambda: read_case_labels(case, grid, hashed=True))
    if case.label is None:
        problems["label"] = "the case has no label map; every case needs one: give it, or remove the case"
    labels = _labels(label, case.label, problems)
    voxels = None if image is None else image_values(image.values_ijk)
    facts = {} if image is None or voxels is None else _image_facts(voxels, _on_axes(labels, label, image))
    return CaseInspection(
        dataset=dataset,
        case=case.id,
        patient=case.patient,
        image=_facts(case.image, image, voxels),
        label=_facts(case.label, label, labels),
        problems=problems,
        notes=_notes((case.image, image), (case.label, label)),
        dicom_patient="" if image is None else image.patient_id,
        label_voxels=label_counts(labels) if labels is not None else {},
        **facts,
    )


def _inspect_task(task: tuple[str, RawCase]) -> CaseInspection:
    return inspect_case(*task)


def _task_name(task: tuple[str, RawCase]) -> str:
    return f"{task[0]}, {task[1].id}"


def _failed(task: tuple[str, RawCase], error: Exception | None) -> CaseInspection:
    """A case whose inspection itself broke, such as for lack of memory."""
    dataset, case = task
    message = str(error) if isinstance(error, MixCLError) else f"{type(error).__name__}: {error}"
    return CaseInspection(
        dataset=dataset,
        case=case.id,
        patient=case.patient,
        image=None,
        label=None,
        problems={str(case.image): message},
    )


def _read(path: Path, problems: dict[str, str], read: Callable[[], FileContent]) -> FileContent | None:
    try:
        return read()
    except DataError as problem:
        problems[str(path)] = str(problem).removeprefix(f"{path}: ")
        return None


def _labels(content: FileContent | None, path: Path | None, problems: dict[str, str]) -> Array | None:
    if content is None or path is None:
        return None
    try:
        return label_values(content.values_ijk, path)
    except DataError as problem:
        problems[str(path)] = str(problem).removeprefix(f"{path}: ")
        return None


def _on_axes(labels: Array | None, label: FileContent | None, image: FileContent) -> Array | None:
    """Labels in the order of their image's axes: a series and a label map drawn on it may differ in that."""
    if labels is None or label is None or label.geometry.orientation == image.geometry.orientation:
        return labels
    labels_ras = to_ras(labels, label.geometry, contiguous=False)
    if labels_ras.shape != ras_shape(image.geometry):
        return labels
    return from_ras(labels_ras, image.geometry).transpose(2, 1, 0)


def _notes(*files: tuple[Path | None, FileContent | None]) -> dict[str, str]:
    return {str(path): content.note for path, content in files if content is not None and content.note}


def _facts(path: Path | None, content: FileContent | None, values: Array | None) -> FileFacts | None:
    if path is None or content is None or values is None:
        return None
    return FileFacts(
        path=str(path),
        sha256=content.sha256,
        content_sha256=content_sha256(values, content.geometry),
        geometry=content.geometry,
    )


def _image_facts(image: Array, labels: Array | None) -> dict[str, Any]:
    finite = np.isfinite(image) if image.dtype.kind == "f" else None
    bad = 0 if finite is None else int(image.size - np.count_nonzero(finite))
    facts: dict[str, Any] = {
        "non_finite_voxels": bad,
        "intensities": intensity_statistics(image[finite] if bad else image),
    }
    if labels is not None and labels.shape == image.shape:
        labelled = labels > 0 if finite is None else (labels > 0) & finite
        foreground = image.T[labelled.T]  # a file's first axis is the fastest, numpy's the last
        facts["foreground"] = intensity_statistics(foreground)
        facts["foreground_quantiles"] = quantile_sketch(foreground)
    return facts
