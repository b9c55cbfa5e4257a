"""Scores of predictions against references: a run's held-out fold, or two folders of files."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from mixcl_auto.errors import DataError, RunError
from mixcl_auto.evaluation.case_scores import CaseMaps, LabelMap, check_grids, score_case
from mixcl_auto.io.case_cache import CaseReader
from mixcl_auto.io.case_files import label_sha256, label_volume
from mixcl_auto.io.images import Volume, read_labels
from mixcl_auto.io.plans import read_fingerprint
from mixcl_auto.io.raw_dataset import find_dataset
from mixcl_auto.io.runs import mark_finished, read_finetune_run
from mixcl_auto.io.scores import write_scores
from mixcl_auto.io.workspace import FinetuneFolder, Workspace
from mixcl_auto.progress import Progress, Silent
from mixcl_auto.records.case import RawCase, RawDataset
from mixcl_auto.records.run import FinetuneRun
from mixcl_auto.records.score import OrganScore
from mixcl_auto.training.cases import open_cases

__all__ = ["CaseMaps", "find_label_maps", "score_case", "score_folder", "score_held_out", "score_run"]

logger = logging.getLogger(__name__)

Predicted = tuple[Volume, LabelMap]
"""A case's label map on its source grid, and the one on the plan's."""

_LABEL_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")


def score_run(
    workspace: Workspace, folder: FinetuneFolder, progress: Progress | None = None
) -> list[OrganScore]:
    """Score a run's held-out cases on their original grids, and on the plan's.

    References are the raw label files, and the cached ones on the plan's grid. Writes ``scores.csv`` and
    marks the run as finished.

    Args:
        workspace: with the raw data and the plan's cache.
        folder: of the run.
        progress: told of every case.

    Raises:
        RunError: if a held-out case has no prediction, or is not in the cache.
        DataError: if a reference can't be read, was changed or exchanged with another since it was planned,
            or does not have the prediction's grid.
    """
    run = read_finetune_run(folder)
    _check_predictions(folder, run)

    def read_back(reader: CaseReader) -> Predicted:
        case = reader.record.id
        return read_labels(folder.prediction(case)), read_labels(folder.resampled_prediction(case)).array

    scores = score_held_out(workspace, run, read_back, progress)
    write_scores(folder.scores, scores)
    mark_finished(folder)
    return scores


def score_held_out(
    workspace: Workspace,
    run: FinetuneRun,
    predicted: Callable[[CaseReader], Predicted],
    progress: Progress | None = None,
    *,
    when: str = "",
) -> list[OrganScore]:
    """Score label maps of a run's held-out cases, one case after the other; writes nothing.

    Args:
        workspace: with the raw data and the plan's cache.
        run: whose held-out cases they are.
        predicted: gives the label maps of a cached case, on its source grid and on the plan's.
        progress: told of every case.
        when: which weights predicted, for the progress, if not the run's last.

    Raises:
        RunError: if a held-out case is not in the cache.
        DataError: if a reference can't be read, was changed or exchanged with another since it was planned,
            or does not have the prediction's grid.
    """
    listener = progress or Silent()
    labels = run.plan.dataset(run.dataset).labels
    dataset = find_dataset(workspace.raw_data, run.dataset)
    _refuse_exchanged_labels(labels, dataset, workspace.dataset_json(run.dataset))
    raw_cases = {case.id: case for case in dataset.cases}
    readers = open_cases(workspace, run.plan, run.dataset, run.held_out_cases)
    planned_hashes = _planned_hashes(workspace, run)
    scores: list[OrganScore] = []
    listener.start(f"score {run.dataset} fold {run.fold}{when}", len(readers))
    for reader in readers:
        case = reader.record.id
        prediction, on_plan_grid = predicted(reader)
        reference = _read_reference(raw_cases, case, run.dataset, planned_hashes[case])
        check_grids(case, reference, prediction)
        maps = CaseMaps(
            case=case,
            patient=reader.record.patient,
            reference=reference.array,
            prediction=prediction.array,
            spacing_mm=reference.spacing_mm,
            resampled=(reader.labels((0, 0, 0), reader.shape), on_plan_grid),
        )
        scores += score_case(maps, labels, tolerance_mm=run.plan.inference.surface_tolerance_mm)
        listener.advance(1, case)
    listener.finish()
    return scores


def score_folder(
    predictions: Path,
    references: Path,
    labels: Mapping[str, int],
    *,
    tolerance_mm: float = 2.0,
    progress: Progress | None = None,
) -> list[OrganScore]:
    """Score a folder of label maps against a folder of references of the same case names.

    Args:
        predictions: the folder of predictions; maps without a reference are passed over, with a warning.
        references: the folder of references; each needs a prediction.
        labels: organ to value.
        tolerance_mm: of surface Dice.
        progress: told of every case.

    Raises:
        RunError: naming every reference that has no prediction.
        DataError: if there are no references, a file can't be read, or the grids of a case differ.
    """
    listener = progress or Silent()
    if predictions.resolve() == references.resolve():
        raise RunError(f"{predictions}: predictions and references are one folder; name the other one too")
    wanted, found = find_label_maps(references), find_label_maps(predictions)
    if not wanted:
        raise DataError(f"{references}: no label map there ({', '.join(_LABEL_SUFFIXES)})")
    if missing := [case for case in wanted if case not in found]:
        raise RunError(
            f"{predictions}: {len(missing)} of {len(wanted)} references have no prediction: "
            f"{', '.join(missing)}; predict them too, or put copies or links of the references that you have "
            "predictions for into a folder of their own, and name that one"
        )
    if extra := sorted(found.keys() - wanted.keys()):
        logger.warning("%s: no reference for %s; not scored", predictions, ", ".join(extra))
    scores: list[OrganScore] = []
    nameless: dict[tuple[Path, int], int] = {}
    listener.start("score", len(wanted))
    for case, path in wanted.items():
        reference, prediction = read_labels(path), read_labels(found[case])
        check_grids(case, reference, prediction)
        for folder, volume in ((references, reference), (predictions, prediction)):
            for value in values_of(volume.array) - {0, *labels.values()}:
                nameless[folder, value] = nameless.get((folder, value), 0) + 1
        maps = CaseMaps(case, case, reference.array, prediction.array, reference.spacing_mm)
        scores += score_case(maps, labels, tolerance_mm=tolerance_mm)
        listener.advance(1, case)
    listener.finish()
    for (folder, value), count in sorted(nameless.items()):
        logger.warning(
            "%s: %d of %d label maps have the value %d, which is no organ of the plan (%s) and counts as "
            "background; if these maps number the organs otherwise, renumber them",
            folder,
            count,
            len(wanted),
            value,
            ", ".join(f"{organ} {label}" for organ, label in labels.items()),
        )
    return scores


def values_of(label_map: LabelMap) -> set[int]:
    """The values that a label map has, without a copy of it."""
    there = np.zeros(int(label_map.max(initial=0)) + 1, bool)
    for plane in label_map:
        there[plane] = True
    return set(np.flatnonzero(there).tolist())


def find_label_maps(folder: Path) -> dict[str, Path]:
    """The label maps of a folder by case name, sorted; hidden files are skipped.

    Raises:
        DataError: if two files have one case name.
    """
    maps: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        suffix = next((known for known in _LABEL_SUFFIXES if path.name.lower().endswith(known)), None)
        if suffix is None or path.name.startswith("."):
            continue
        case = path.name[: -len(suffix)]
        if case in maps:
            raise DataError(f"{maps[case]} and {path} are both of case {case}; remove one")
        maps[case] = path
    return maps


def _check_predictions(folder: FinetuneFolder, run: FinetuneRun) -> None:
    pairs = {
        case: (folder.prediction(case), folder.resampled_prediction(case)) for case in run.held_out_cases
    }
    missing = [case for case, paths in pairs.items() if not all(path.is_file() for path in paths)]
    if missing:
        raise RunError(
            f"{folder.predictions}: {len(missing)} of {len(pairs)} held-out cases have no prediction: "
            f"{', '.join(missing)}; {run.again}"
        )


def _planned_hashes(workspace: Workspace, run: FinetuneRun) -> dict[str, str]:
    """SHA-256 of each label file as it was planned."""
    fingerprint = read_fingerprint(workspace, run.plan.dataset(run.dataset))
    return {case.id: case.label_hash for case in fingerprint.cases}


def _refuse_exchanged_labels(labels: Mapping[str, int], dataset: RawDataset, description: Path) -> None:
    """See that the plan's organs have the values of the raw label maps; a new name for one does no harm.

    Raises:
        DataError: naming the first that has another value.
    """
    for organ, value in labels.items():
        raw_value = dataset.labels.get(organ, value)
        if raw_value != value:
            raise DataError(
                f"{dataset.name}: {organ} is {value} in the plan and {raw_value} in {description}; correct "
                "the one that is wrong (if the plan is, plan and fine-tune again)"
            )


def _read_reference(raw_cases: Mapping[str, RawCase], case: str, dataset: str, planned_hash: str) -> Volume:
    if case not in raw_cases:
        raise DataError(f"{dataset}: case {case} is no longer in the raw data; put it back")
    raw = raw_cases[case]
    if raw.label is None:
        raise DataError(f"{dataset}: case {case} has no label map to score against")
    if label_sha256(raw) not in (None, planned_hash):
        raise DataError(
            f"{raw.label}: the reference changed after it was planned; restore it, or plan and fine-tune "
            "again"
        )
    return label_volume(raw)
