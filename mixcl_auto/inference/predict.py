"""Label maps of a run's held-out cases, and of any scan."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from mixcl_auto.errors import DataError, MixCLError, RunError
from mixcl_auto.inference.predictor import (
    Predictor,
    load_predictor,
    predict_volume,
    refuse_untrained,
    to_labels,
    to_source_grid,
)
from mixcl_auto.io.case_cache import CaseReader
from mixcl_auto.io.files import file_sha256, read_text, write_text
from mixcl_auto.io.images import ras_geometry, read_image, write_labels
from mixcl_auto.io.plans import write_plan
from mixcl_auto.io.runs import read_finetune_run
from mixcl_auto.io.workspace import FinetuneFolder, Workspace
from mixcl_auto.progress import Progress, Silent
from mixcl_auto.records.plan import InferencePlan
from mixcl_auto.records.plan_edits import plan_differences
from mixcl_auto.records.prediction import HeldOutPredictions
from mixcl_auto.training.cases import open_cases

__all__ = ["Predictor", "find_images", "load_predictor", "predict_files", "predict_held_out"]

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
_CHANNEL_SUFFIX = "_0000"


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
    images: Iterable[Path],
    output: Path,
    *,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Segment scans one by one, each on its own grid, with one run or with several as an ensemble.

    Of several runs the class probabilities are averaged on the plan's grid. ``plan.json`` beside the label
    maps is the recipe that made them. A scan that can't be read does not keep the others from their label
    maps.

    Args:
        folders: of trained runs that share grid, window, network and labels.
        images: scans in any format that ITK reads.
        output: the folder for ``<case>.nii.gz``; a trailing ``_0000`` of an image's name is dropped.
        device: as torch spells it; the first GPU, or the CPU, where absent.
        progress: told of every scan.

    Returns:
        The label maps written.

    Raises:
        RunError: if the runs can't be combined, or, after all scans were tried, naming those that failed.
        DataError: if there are no scans, or two of them would get the same name.
    """
    listener = progress or Silent()
    names = output_names(images)
    predictors = load_ensemble(folders, device)
    write_plan(output / "plan.json", predictors[0].plan)
    written, failures = [], []
    listener.start("predict", len(names))
    for image, name in names.items():
        path = output / f"{name}.nii.gz"
        try:
            volume = read_image(image)
            write_labels(path, predict_volume(predictors, volume), volume.geometry)
            written.append(path)
        except MixCLError as problem:
            reason = str(problem).removeprefix(f"{image}: ")
            logger.error("%s: %s", image, reason)
            failures.append(f"  {image}: {reason}")
        listener.advance(1, name)
    listener.finish()
    if failures:
        others = f"; the others are in {output}" if written else ""
        failed = f"{len(failures)} of {len(names)} scans could not be segmented{others}:"
        raise RunError("\n".join([failed, *failures]))
    return written


def load_ensemble(
    folders: Sequence[FinetuneFolder], device: str | torch.device | None = None
) -> list[Predictor]:
    """Load runs that may be averaged.

    Raises:
        RunError: if there is none, or two differ in grid, window, network, windows or labels.
    """
    if not folders:
        raise RunError("no run to predict with; name at least one fold")
    predictors = [load_predictor(folder, device) for folder in folders]
    first_run = read_finetune_run(folders[0])
    for folder in folders[1:]:
        run = read_finetune_run(folder)
        differences = plan_differences(first_run.plan, run.plan, ("preprocess", "network", "inference"))
        if first_run.plan.dataset(first_run.dataset).labels != run.plan.dataset(run.dataset).labels:
            differences.append(f"labels: {first_run.dataset} and {run.dataset} do not have the same")
        if differences:
            raise RunError(
                f"{folders[0].path} and {folder.path} can't be averaged; they differ in "
                f"{'; '.join(differences)}. Predict with runs of one plan and target"
            )
    return predictors


def find_images(source: Path) -> list[Path]:
    """The scan at a path, or all scans of a folder, sorted; hidden files are skipped.

    Raises:
        DataError: if there is none.
    """
    if source.is_file():
        return [source]
    found = sorted(
        path
        for path in (source.iterdir() if source.is_dir() else ())
        if path.is_file() and not path.name.startswith(".") and path.name.lower().endswith(IMAGE_SUFFIXES)
    )
    if not found:
        raise DataError(
            f"{source}: no scan there; give an image ({', '.join(IMAGE_SUFFIXES)}) or a folder of them"
        )
    return found


def output_names(images: Iterable[Path]) -> dict[Path, str]:
    """Each scan's case name: the file's without its suffix and without nnU-Net's ``_0000``.

    Raises:
        DataError: if there are no scans, or two have one name.
    """
    names = {image: case_name(image) for image in images}
    if not names:
        raise DataError("no scan to segment; give an image or a folder of images")
    by_name: dict[str, Path] = {}
    for image, name in names.items():
        if name in by_name:
            raise DataError(f"{by_name[name]} and {image} would both be written as {name}.nii.gz; rename one")
        by_name[name] = image
    return names


def case_name(image: Path) -> str:
    """A file's name without its image suffix and without a trailing ``_0000``."""
    lower = image.name.lower()
    suffix = next((known for known in IMAGE_SUFFIXES if lower.endswith(known)), image.suffix)
    stem = image.name[: len(image.name) - len(suffix)]
    return stem.removesuffix(_CHANNEL_SUFFIX)


def _predict_cached(predictor: Predictor, reader: CaseReader, folder: FinetuneFolder) -> None:
    record = reader.record
    logits = predictor.predict_resampled(reader.image((0, 0, 0), reader.shape))
    on_plan_grid = to_labels(logits)
    grid = ras_geometry(on_plan_grid.shape, record.spacing_mm)
    write_labels(folder.resampled_prediction(record.id), on_plan_grid, grid)
    on_source_grid = to_source_grid(logits, record.spacing_mm, record.source)
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
