"""Preprocessing: every case of a plan onto the plan's grid, into the cache.

RAS, cubic resampling, clipping to the window; labels by linear argmax; the distance D of Eq. 7 to the nearest
boundary, over the whole volume so that a patch's border is no boundary (in the codes of ``encode_distance``,
whose unit is the plan's ``distance_unit``); voxels of each class to centre patches on.
"""

import errno
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.engines.compilation import telling_of_compilation
from mixcl_auto.engines.engine import Engine, Outcome, Resources
from mixcl_auto.engines.host_memory import keep_freed_memory
from mixcl_auto.engines.process_pool import run_tasks
from mixcl_auto.errors import DataError, MixCLError, RunError
from mixcl_auto.io.cache_recipe import write_recipe
from mixcl_auto.io.case_cache import cached_key, case_key, is_intact, open_case
from mixcl_auto.io.case_files import image_sha256, label_sha256, read_case_image, read_case_labels
from mixcl_auto.io.case_writer import write_case
from mixcl_auto.io.files import check_writable
from mixcl_auto.io.images import volume_of
from mixcl_auto.io.intensity_statistics import label_counts
from mixcl_auto.io.itk import FileContent
from mixcl_auto.io.orientation import ras_shape, ras_spacing_mm
from mixcl_auto.io.partial_files import remove_all_abandoned
from mixcl_auto.io.plans import read_fingerprint
from mixcl_auto.io.voxel_values import image_values, label_values
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.preprocessing.warm_up import warm_up
from mixcl_auto.progress import Progress
from mixcl_auto.records.case import CachedCase, Geometry, RawCase, RawDataset
from mixcl_auto.records.finding import Finding
from mixcl_auto.records.plan import Plan, PreprocessPlan
from mixcl_auto.records.record import content_hash
from mixcl_auto.transforms.foreground import foreground_coordinates
from mixcl_auto.transforms.standardise import standardise_image, standardise_labels
from mixcl_auto.transforms.weight_map import boundary_codes

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""No room, a quota, ``ulimit -f``, and a disk that became read-only after an error of its own."""


@dataclass(frozen=True)
class CaseTask:
    """One case to preprocess, with all that decides the result."""

    dataset: str
    case: RawCase
    classes: int
    """Including the background."""
    preprocess: PreprocessPlan
    image_hash: str
    """Of the file that the plan was made from, as ``label_hash``."""
    label_hash: str
    folder: Path
    voxels: int = 0
    """Of the scan: the largest goes first, so that the last one does not run alone."""

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.dataset}, {self.case.id}"

    @property
    def key(self) -> str:
        """What the cached case depends on."""
        return case_key(self.image_hash, self.label_hash, content_hash(self.preprocess), self.case.patient)


def preprocess_datasets(
    workspace: Workspace,
    plan: Plan,
    datasets: Sequence[RawDataset],
    *,
    jobs: int = 1,
    engine: Engine | None = None,
    memory_bytes: int = 0,
    progress: Progress | None = None,
) -> list[Finding]:
    """Preprocess the planned cases; those whose files and recipe are unchanged are kept as they are.

    Args:
        workspace: holds the cache.
        plan: names the cases, and the fingerprints with the hashes of their files.
        datasets: where the files lie.
        jobs: processes, each with a case of its own.
        engine: runs the cases instead of this machine's processes; the workspace's path is then absolute and
            the same for all of its machines.
        memory_bytes: that the largest case takes, for the engine; 0 if unknown.
        progress: told of every case.

    Returns:
        The cases that failed, each with its cause; all others are done.

    Raises:
        PlanError: if a fingerprint is not the one that the plan names.
        RunError: as soon as the disk is full, which all other cases would meet too.
        DataError: if the cache may not be written.
    """
    tasks, failed = [], []
    for dataset in datasets:
        check_writable(workspace.cache(dataset.name, content_hash(plan.preprocess)))
        remove_all_abandoned(workspace.cache(dataset.name, content_hash(plan.preprocess)), earlier_form=True)
        planned, vanished = _tasks(workspace, plan, dataset)
        write_recipe(workspace, dataset.name, plan.preprocess)
        tasks += planned
        failed += vanished
    with ThreadPoolExecutor(max(1, jobs)) as pool:  # hashing does not hold the interpreter's lock
        is_done = list(pool.map(_is_done, tasks))
    left = [task for task, done in zip(tasks, is_done, strict=True) if not done]
    waiting = sorted(left, key=lambda task: task.voxels, reverse=True)
    if waiting:
        with telling_of_compilation():
            warm_up()
    outcomes = run_tasks(
        preprocess_case,
        waiting,
        jobs=jobs,
        name=_name,
        description="Preprocessing",
        done=len(tasks) - len(waiting),
        progress=progress,
        initializer=keep_freed_memory,
        engine=engine,
        resources=Resources(memory_bytes=memory_bytes),
    )
    for outcome in outcomes:
        if isinstance(outcome.error, OSError) and outcome.error.errno in _DISK_FULL:
            del outcomes  # which ends the workers
            raise _disk_full(outcome.task, outcome.error)
        if outcome.error is not None:
            failed.append(_finding(outcome))
    return sorted(failed, key=lambda found: (found.dataset, found.case or ""))


def cached_cases(
    workspace: Workspace, plan: Plan, datasets: Sequence[RawDataset]
) -> frozenset[tuple[str, str]]:
    """Dataset and case of those in the cache under the plan's recipe; their files are not read.

    Raises:
        PlanError: if a fingerprint is not the one that the plan names.
    """
    tasks = [task for dataset in datasets for task in _tasks(workspace, plan, dataset)[0]]
    return frozenset((task.dataset, task.case.id) for task in tasks if cached_key(task.folder) == task.key)


def preprocess_case(task: CaseTask) -> CachedCase:
    """Preprocess one case into the cache, unless it is there already.

    Raises:
        DataError: if a file can't be used, changed since it was planned, or does not match the other.
    """
    if _is_done(task):
        return open_case(task.folder).record
    plan = task.preprocess
    standard_image, geometry = _standard_image(task)
    labels = _standard_labels(task, geometry)
    record = CachedCase(
        id=task.case.id,
        key=task.key,
        patient=task.case.patient,
        shape=standard_image.shape,
        spacing_mm=plan.spacing_mm,
        source=geometry,
        label_voxels=label_counts(labels),
    )
    unit_mm = plan.spacing_mm if plan.distance_unit == "mm" else None
    present = [label for label in record.label_voxels if label > 0]
    write_case(
        task.folder,
        record,
        image=standard_image,
        labels=labels,
        distance=boundary_codes(labels, spacing_mm=unit_mm),
        foreground=foreground_coordinates(
            labels, present, limit=plan.coordinates_per_class, generator=_generator(task.key)
        ),
    )
    return record


def _tasks(workspace: Workspace, plan: Plan, dataset: RawDataset) -> tuple[list[CaseTask], list[Finding]]:
    """A task per planned case, and a finding per planned case that the raw dataset no longer has."""
    planned = plan.dataset(dataset.name)
    fingerprint = read_fingerprint(workspace, planned)
    raw = {case.id: case for case in dataset.cases}
    preprocess_hash = content_hash(plan.preprocess)
    tasks = [
        CaseTask(
            dataset=dataset.name,
            case=raw[case.id],
            classes=len(dataset.labels) + 1,
            preprocess=plan.preprocess,
            image_hash=case.image_hash,
            label_hash=case.label_hash,
            folder=workspace.cached_case(dataset.name, preprocess_hash, case.id),
            voxels=prod(case.shape),
        )
        for case in fingerprint.cases
        if case.id in raw
    ]
    gone = [case.id for case in fingerprint.cases if case.id not in raw]
    message = "the case is in the plan but no longer in raw_data; restore it or plan again"
    return tasks, [_error(dataset.name, case, message) for case in gone]


def _is_done(task: CaseTask) -> bool:
    """Whether the case is cached under this recipe, and its files are still those that were planned."""
    if cached_key(task.folder) != task.key or not is_intact(task.folder):
        return False
    try:
        found = image_sha256(task.case), label_sha256(task.case)
    except (MixCLError, OSError):
        return False  # reading the case will tell why
    return found == (task.image_hash, task.label_hash)


def _standard_image(task: CaseTask) -> tuple[NDArray[np.int16], Geometry]:
    """The scan on the plan's grid, and its own; the file's voxels are let go before the label map is read."""
    content = read_case_image(task.case, hashed=True)
    _refuse_changed(content, task.case.image, task.image_hash)
    image = volume_of(content, image_values(content.values_ijk), contiguous=False)
    plan, geometry = task.preprocess, content.geometry
    standard = standardise_image(
        image.array, image.spacing_mm, plan.spacing_mm, plan.window_hu, plan.intensity_step
    )
    return standard, geometry


def _standard_labels(task: CaseTask, geometry: Geometry) -> NDArray[Any]:
    """The label map on the plan's grid, by the spacing of the scan's own."""
    if task.case.label is None:
        raise DataError(f"{task.name}: the case has no label map; give it, or plan again without the case")
    content = read_case_labels(task.case, geometry, hashed=True)
    _refuse_changed(content, task.case.label, task.label_hash)
    values = label_values(content.values_ijk, task.case.label)
    labels = volume_of(content, values, contiguous=False).array
    if labels.shape != ras_shape(geometry):
        raise DataError(
            f"{task.case.label}: the label map has shape {labels.shape} in RAS order, its image "
            f"{ras_shape(geometry)}; run `mixcl_auto validate`"
        )
    if (largest := int(values.max())) >= task.classes:
        raise DataError(
            f"{task.case.label}: label {largest} is not in dataset.json, which has 0 to {task.classes - 1}; "
            "run `mixcl_auto validate`"
        )
    return standardise_labels(labels, ras_spacing_mm(geometry), task.preprocess.spacing_mm)


def _refuse_changed(content: FileContent, path: Path, expected_hash: str) -> None:
    if content.sha256 != expected_hash:
        raise DataError(
            f"{path}: the file changed after it was planned; run `mixcl_auto plan_and_preprocess`"
        )


def _generator(key: str) -> np.random.Generator:
    """Drawn from by one case alone, so that the cache does not depend on the order of cases."""
    return np.random.default_rng(int(key, 16))


def _name(task: CaseTask) -> str:
    return task.name


def _finding(outcome: Outcome[CaseTask, CachedCase]) -> Finding:
    error = outcome.error
    message = str(error) if isinstance(error, MixCLError) else f"{type(error).__name__}: {error}"
    return _error(outcome.task.dataset, outcome.task.case.id, message)


def _disk_full(task: CaseTask, problem: OSError) -> RunError:
    return RunError(
        f"{task.name}: {problem.filename or task.folder} can't be written ({problem.strerror}), nor could "
        "the cases after it; those that are done are kept: make room and run the same command again"
    )


def _error(dataset: str, case: str, message: str) -> Finding:
    return Finding(severity="error", dataset=dataset, case=case, message=message)
