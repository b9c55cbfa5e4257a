"""Label maps of a run's held-out cases, and of any scan."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from mixcl_auto.errors import DataError, MixCLError, RunError
from mixcl_auto.inference.ensemble import Ensemble, load_ensemble
from mixcl_auto.inference.predictor import (
    Predictor,
    load_predictor,
    predict_volume,
    refuse_untrained,
    to_source_grid,
)
from mixcl_auto.inference.scans import Scan, read_scan, refuse_clashes
from mixcl_auto.io.case_cache import CaseReader
from mixcl_auto.io.dicom_seg import refuse_without_highdicom, write_segmentation
from mixcl_auto.io.files import file_sha256, read_text, write_text
from mixcl_auto.io.hounsfield import implausible_hu
from mixcl_auto.io.images import Volume, write_labels
from mixcl_auto.io.intensity_statistics import intensity_statistics
from mixcl_auto.io.orientation import ras_geometry
from mixcl_auto.io.plans import write_plan
from mixcl_auto.io.runs import read_finetune_run
from mixcl_auto.io.workspace import FinetuneFolder, Workspace
from mixcl_auto.progress import Progress, Silent
from mixcl_auto.records.plan import InferencePlan
from mixcl_auto.records.prediction import HeldOutPredictions
from mixcl_auto.records.record import content_hash
from mixcl_auto.training.cases import open_cases
from mixcl_auto.transforms.label_upsampling import argmax_classes

__all__ = ["LabelFormat", "Predictor", "load_predictor", "predict_files", "predict_held_out"]

logger = logging.getLogger(__name__)

LabelFormat = Literal["nifti", "dicom-seg"]
SUFFIXES: dict[LabelFormat, str] = {"nifti": ".nii.gz", "dicom-seg": ".dcm"}


def predict_held_out(
    workspace: Workspace,
    plan_name: str,
    folder: FinetuneFolder,
    progress: Progress | None = None,
    *,
    device: str | torch.device | None = None,
) -> None:
    """Predict a run's held-out cases from the cache, on each source grid and on the plan's.

    Each case is recorded in ``predictions/done.json`` with the weights' hash, so that a stopped call goes on
    and a prediction of other weights or other windows is made again.

    Args:
        workspace: with the plan's cache.
        plan_name: of the plan whose results the run belongs to.
        folder: of the run, which must be trained.
        progress: told of every case.
        device: as torch spells it; the first GPU, or the CPU, where absent.

    Raises:
        RunError: if the training has not ended, the cache is missing, or a logit is not finite.
        WeightsError: if the weights are missing or damaged.
    """
    listener = progress or Silent()
    run = read_finetune_run(folder)
    if run.status == "running":
        raise RunError(
            f"{folder.path}: the training has not ended; run `mixcl_auto finetune -p {plan_name}` again"
        )
    refuse_untrained(folder, run.status)
    done = _predicted_before(folder, file_sha256(folder.weights), run.plan.inference)
    pending = [case for case in run.held_out_cases if case not in done.cases]
    listener.start(f"predict {run.dataset} fold {run.fold}", len(run.held_out_cases), len(done.cases))
    if pending:
        predictor = load_predictor(folder, device)
        for reader in open_cases(workspace, run.plan, run.dataset, pending):
            _predict_cached(predictor, reader, folder)
            done = done.model_copy(update={"cases": (*done.cases, reader.record.id)})
            write_text(folder.prediction_record, done.to_json())
            listener.advance(1, reader.record.id)
    listener.finish()


def predict_files(
    folders: Sequence[FinetuneFolder],
    scans: Sequence[Scan],
    output: Path,
    *,
    label_format: LabelFormat = "nifti",
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Segment scans one by one, each on its own grid, with one run or with several as an ensemble.

    Of several runs the class probabilities are averaged on the plan's grid. ``plan.json`` beside the label
    maps is the recipe that made them. A scan that can't be read does not keep the others from their label
    maps.

    Args:
        folders: of trained runs that share grid, window, network and labels.
        scans: as ``find_scans`` finds them.
        output: the folder for ``<name>.nii.gz``, or ``<name>.dcm``.
        label_format: of the label maps: NIfTI, or DICOM SEG, for which every scan must be a DICOM series.
        device: as torch spells it; the first GPU, or the CPU, where absent.
        progress: told of every scan.

    Returns:
        The label maps written.

    Raises:
        RunError: if the runs can't be combined, if DICOM SEG is wanted and highdicom is not installed, or,
            after all of several scans were tried, naming those that failed.
        DataError: if there are no scans, if two of them would get the same name, if DICOM SEG is wanted of an
            image, or if the only scan can't be read.
    """
    listener = progress or Silent()
    refuse_clashes(scans, SUFFIXES[label_format])
    if label_format == "dicom-seg":
        refuse_images(scans)
        refuse_without_highdicom()
    model = load_ensemble(folders, device)
    write_plan(output / "plan.json", model.predictors[0].plan)
    written, failures = [], []
    listener.start("predict", len(scans))
    for scan in scans:
        try:
            written.append(_predict_scan(model, scan, output, label_format))
        except MixCLError as problem:
            if len(scans) == 1:
                listener.finish()
                raise
            reason = str(problem).removeprefix(f"{scan.path}: ")
            logger.error("%s: %s", scan.path, reason)
            failures.append(f"  {scan.path}: {reason}")
        listener.advance(1, scan.name)
    listener.finish()
    if failures:
        others = f"; the others are in {output}" if written else ""
        failed = f"{len(failures)} of {len(scans)} scans could not be segmented{others}:"
        raise RunError("\n".join([failed, *failures]))
    return written


def refuse_images(scans: Sequence[Scan]) -> None:
    """See that every scan is a DICOM series.

    Raises:
        DataError: naming one that is not.
    """
    images = [scan.path for scan in scans if not scan.is_dicom]
    if images:
        more = f" (and {len(images) - 1} more)" if len(images) > 1 else ""
        raise DataError(
            f"{images[0]}{more}: not a DICOM series, which a DICOM SEG must refer to; give the folder of the "
            "series, or leave --format dicom-seg out"
        )


def _predict_scan(model: Ensemble, scan: Scan, output: Path, label_format: LabelFormat) -> Path:
    path = output / f"{scan.name}{SUFFIXES[label_format]}"
    volume, files = read_scan(scan)
    if path.resolve() in {file.resolve() for file in files}:
        raise DataError(f"{scan.path}: the label map would overwrite {path}; choose another output folder")
    if model.is_ct and (doubt := _doubt(volume)):
        logger.warning("%s: %s; it is segmented as it is", scan.path, doubt)
    labels = predict_volume(model.predictors, volume)
    if label_format == "nifti":
        write_labels(path, labels, volume.geometry)
    else:
        recipe = {"plan": content_hash(model.predictors[0].plan), "runs": ";".join(model.runs)}
        write_segmentation(path, labels, volume.geometry, files, model.labels, parameters=recipe)
    return path


def _doubt(volume: Volume) -> str | None:
    """Why a scan can't be in HU, such as a label map among the scans."""
    finite = volume.array[np.isfinite(volume.array)] if volume.array.dtype.kind == "f" else volume.array
    values = intensity_statistics(finite)
    return None if values is None else implausible_hu(values)


def _predict_cached(predictor: Predictor, reader: CaseReader, folder: FinetuneFolder) -> None:
    record = reader.record
    logits = predictor.predict_resampled(reader.image((0, 0, 0), reader.shape))
    threads = predictor.plan.finetune.threads
    on_plan_grid = argmax_classes(logits, threads=threads)
    grid = ras_geometry(on_plan_grid.shape, record.spacing_mm)
    write_labels(folder.resampled_prediction(record.id), on_plan_grid, grid)
    on_source_grid = to_source_grid(logits, record.spacing_mm, record.source, threads)
    write_labels(folder.prediction(record.id), on_source_grid, record.source)


def _predicted_before(
    folder: FinetuneFolder, model_sha256: str, inference: InferencePlan
) -> HeldOutPredictions:
    """What an earlier call with the same weights and windows left, as far as its files are there."""
    fresh = HeldOutPredictions(model_sha256=model_sha256, inference=inference)
    if not folder.prediction_record.is_file():
        return fresh
    text = read_text(folder.prediction_record, what="record of predictions", remedy="remove it")
    try:
        before = HeldOutPredictions.from_json(text, source=str(folder.prediction_record))
    except DataError as problem:
        logger.warning("%s; all cases are predicted again", problem)
        return fresh
    if (before.model_sha256, before.inference) != (model_sha256, inference):
        return fresh
    files = {case: (folder.prediction(case), folder.resampled_prediction(case)) for case in before.cases}
    kept = tuple(case for case, pair in files.items() if all(path.is_file() for path in pair))
    return fresh.model_copy(update={"cases": kept})
