"""Label maps of a run's held-out cases, and of any scan."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mixcl_auto.errors import DataError, MixCLError, RunError
from mixcl_auto.inference.ensemble import Ensemble, load_ensemble
from mixcl_auto.inference.output_folder import SUFFIXES, LabelFormat, OutputFolder, Wanted
from mixcl_auto.inference.predictor import Predictor, load_predictor, refuse_untrained, to_source_grid
from mixcl_auto.inference.scans import Scan, refuse_clashes, scan_sha256
from mixcl_auto.inference.segment_scan import segment_scan
from mixcl_auto.io.case_cache import CaseReader
from mixcl_auto.io.dicom_seg import refuse_without_highdicom
from mixcl_auto.io.files import file_sha256, read_text, write_text
from mixcl_auto.io.images import Volume, write_labels
from mixcl_auto.io.orientation import ras_geometry, ras_spacing_mm
from mixcl_auto.io.plans import write_plan
from mixcl_auto.io.run_lock import output_lock
from mixcl_auto.io.runs import read_finetune_run
from mixcl_auto.io.workspace import FinetuneFolder, Workspace
from mixcl_auto.progress import Progress, Silent
from mixcl_auto.records.plan import InferencePlan
from mixcl_auto.records.prediction import HeldOutPredictions, PredictionRecord
from mixcl_auto.training.cases import open_cases
from mixcl_auto.transforms.label_upsampling import argmax_classes

__all__ = ["LabelFormat", "Predictor", "Wanted", "load_predictor", "predict_files", "predict_held_out"]

logger = logging.getLogger(__name__)

NOTHING_ELSE = Wanted()


def predict_held_out(
    workspace: Workspace,
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
        folder: of the run, which must be trained.
        progress: told of every case.
        device: as torch spells it; the first GPU, or the CPU, where absent.

    Raises:
        RunError: if the training has not ended, the cache is missing, or a logit is not finite.
        WeightsError: if the weights are missing or damaged.
    """
    listener = progress or Silent()
    run = read_finetune_run(folder)
    refuse_untrained(folder, run)
    done = _predicted_before(folder, file_sha256(folder.weights), run.plan.inference)
    pending = [case for case in run.held_out_cases if case not in done.cases]
    listener.start(f"predict {run.dataset} fold {run.fold}", len(run.held_out_cases), len(done.cases))
    if pending:
        predictor = load_predictor(folder, device)
        for reader in open_cases(workspace, run.plan, run.dataset, pending):
            _write_prediction(predictor, reader, folder)
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
    flips: str | None = None,
    wanted: Wanted = NOTHING_ELSE,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Segment scans one by one, each on its own grid, with one run or with several as an ensemble.

    Of several runs the class probabilities are averaged on the plan's grid. ``plan.json`` beside the label
    maps is the recipe that made them, ``prediction.json`` names the models. A scan that can't be read, or
    whose name can't be written, does not keep the others from their label maps. Scans that an earlier call
    segmented are left as they are: the same bytes, by the same models, with all that is wanted, whose files
    are whole.

    Args:
        folders: of trained runs that share grid, window, network and labels.
        scans: as ``find_scans`` finds them.
        output: the folder for ``<name>.nii.gz``, or ``<name>.dcm``.
        label_format: of the label maps: NIfTI, or DICOM SEG, for which every scan must be a DICOM series.
        flips: axes to average over, instead of the plan's ``inference.flips``, where given.
        wanted: what to write beside the label maps.
        device: as torch spells it; the first GPU, or the CPU, where absent.
        progress: told of every scan.

    Returns:
        The label maps, those that were there before included.

    Raises:
        RunError: if the runs can't be combined, the flips would spoil their results, DICOM SEG is wanted and
            highdicom is not installed, another process writes into the folder, or, after all of several scans
            were tried, naming those that failed.
        DataError: if there are no scans, two of them would get the same name, a label map would overwrite a
            scan, DICOM SEG is wanted of an image, or the only scan can't be read.
    """
    folder = OutputFolder(output, label_format)
    refuse_clashes(scans, SUFFIXES[label_format])
    nameable = [scan for scan in scans if scan.problem is None]
    refuse_overwriting(nameable, folder)
    if label_format == "dicom-seg":
        refuse_images(scans)
        refuse_without_highdicom()
    model = load_ensemble(folders, device, flips)
    failures = {scan: scan.problem for scan in scans if scan.problem is not None}
    for scan, problem in failures.items():
        logger.error("%s: %s", scan, problem)
    with output_lock(folder.lock, output) as locked:
        if locked:
            folder.clear()
        failures |= _segment_scans(
            model, nameable, folder, wanted, progress or Silent(), alone=len(scans) == 1
        )
    written = [folder.label_map(scan.name) for scan in scans if scan not in failures]
    if failures:
        others = f"; the others are in {output}" if written else ""
        failed = f"{len(failures)} of {len(scans)} scans could not be segmented{others}:"
        raise RunError("\n".join([failed, *(f"  {scan}: {failures[scan]}" for scan in failures)]))
    return written


def _segment_scans(
    model: Ensemble,
    scans: Sequence[Scan],
    folder: OutputFolder,
    wanted: Wanted,
    listener: Progress,
    *,
    alone: bool,
) -> dict[Scan, str]:
    """Segment those that an earlier call did not; gives the reasons why some could not be.

    Args:
        model: what predicts.
        scans: to segment.
        folder: for what is written.
        wanted: what that is.
        listener: told of every scan.
        alone: whether there is one scan, of which the error is raised.

    Raises:
        MixCLError: of the only scan.
    """
    coming = {scan.name: folder.files_of(scan.name, model.labels, wanted) for scan in scans}
    record = folder.begin(model.record(), coming)
    write_plan(folder.plan, model.plan)
    done = [scan for scan in scans if _is_done(folder, record, scan, coming[scan.name])]
    if done:
        logger.info("%s: %d of %d scans were segmented before", folder.path, len(done), len(scans))
        record = record.model_copy(update={"scans": (*record.scans, *(scan.name for scan in done))})
    failures: dict[Scan, str] = {}
    listener.start("predict", len(scans), len(done))
    for scan in scans:
        if scan in done:
            continue
        try:
            input_sha256 = segment_scan(model, scan, folder, wanted)
        except MixCLError as problem:
            if alone:
                listener.finish()
                raise
            failures[scan] = str(problem).removeprefix(f"{scan.path}: ")
            logger.error("%s: %s", scan.path, failures[scan])
        else:
            placed = record.model_copy(update=model.place())
            record = folder.finish_scan(placed, scan.name, input_sha256, coming[scan.name])
        listener.advance(1, scan.name)
    listener.finish()
    return failures


def _is_done(folder: OutputFolder, record: PredictionRecord, scan: Scan, files: Sequence[Path]) -> bool:
    """Whether an earlier call made the files; only then is the scan read, for its hash."""
    return scan.name in record.written and folder.is_done(record, scan.name, scan_sha256(scan), files)


def refuse_overwriting(scans: Sequence[Scan], folder: OutputFolder) -> None:
    """See that no label map would take the place of an image that is to be segmented.

    Raises:
        DataError: naming the first that would.
    """
    for scan in scans:
        path = folder.label_map(scan.name)
        if path.resolve() == scan.path.resolve():
            raise DataError(
                f"{scan.path}: the label map would overwrite {path}; choose another output folder"
            )


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


def predict_cached(predictor: Predictor, reader: CaseReader) -> tuple[Volume, NDArray[np.uint8]]:
    """The label map of a cached case on its source grid, and the one on the plan's (x, y, z).

    Raises:
        RunError: if a logit is not finite, or there is not enough memory in any way.
    """
    record = reader.record
    logits = predictor.predict_resampled(reader.image((0, 0, 0), reader.shape))
    threads = predictor.plan.finetune.threads
    on_plan_grid = argmax_classes(logits, threads=threads)
    on_source_grid = to_source_grid(logits, record.spacing_mm, record.source, threads)
    return Volume(on_source_grid, ras_spacing_mm(record.source), record.source), on_plan_grid


def _write_prediction(predictor: Predictor, reader: CaseReader, folder: FinetuneFolder) -> None:
    record = reader.record
    on_source_grid, on_plan_grid = predict_cached(predictor, reader)
    grid = ras_geometry(on_plan_grid.shape, record.spacing_mm)
    write_labels(folder.resampled_prediction(record.id), on_plan_grid, grid)
    write_labels(folder.prediction(record.id), on_source_grid.array, on_source_grid.geometry)


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
