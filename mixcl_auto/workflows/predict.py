"""Segmenting scans with fine-tuned models."""

import logging
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from mixcl_auto.errors import DataError
from mixcl_auto.inference.predict import LabelFormat, Wanted, predict_files
from mixcl_auto.inference.scans import Scan, find_scans, scan_list
from mixcl_auto.io.plans import read_split
from mixcl_auto.io.runs import read_finetune_run
from mixcl_auto.io.workspace import FinetuneFolder, init_name
from mixcl_auto.progress import Progress
from mixcl_auto.workflows.inputs import Folder, Project, choose_target, find_run, open_project

logger = logging.getLogger(__name__)


def predict(
    source: str | Path,
    output: str | Path,
    workspace: Folder = ".",
    *,
    plan: str | Path | None = None,
    dataset: str | None = None,
    folds: Iterable[int] = (0,),
    all_folds: bool = False,
    fraction: float = 1.0,
    init: str | Path = "mixcl",
    seed: int | None = None,
    series: str | None = None,
    label_format: LabelFormat = "nifti",
    flips: str | None = None,
    probabilities: bool = False,
    preview: bool = False,
    statistics: bool = False,
    device: str | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Segment a scan or a folder of scans, each on its own grid.

    Args:
        source: an image, a folder with a DICOM series, or a folder of several of either: every study of DICOM
            slices below it is one scan.
        output: the folder for the label maps and for the plan that made them.
        workspace: the folder of the project.
        plan: a path, or the name of a file under ``plans/``; ``plan.json`` if absent.
        dataset: the target that the models were trained on; may be absent where the plan has one.
        folds: the models' folds; the class probabilities of several are averaged.
        all_folds: instead of ``folds`` all that are trained.
        fraction: the models' label fraction.
        init: the models' initialisation.
        seed: the models' seed; the plan's if absent.
        series: which DICOM series of the scan, by UID or number; the largest axial one if absent.
        label_format: ``nifti``, or ``dicom-seg`` (of DICOM series only; needs the extra ``dicom``).
        flips: axes such as ``yz``: each window is also seen flipped along them and the outputs averaged, x
            being right-left, y anterior-posterior and z superior-inferior; an empty text is none. The plan's
            ``inference.flips`` if absent.
        probabilities: also write each organ's probability as ``probabilities/<name>/<organ>.nii.gz``.
        preview: also draw ``previews/<name>.png``.
        statistics: also write volumes and intensities to ``statistics/<name>.json``.
        device: such as ``cpu`` or ``cuda:1``; a GPU if there is one, if absent.
        progress: told of every scan.

    Returns:
        The label maps written.

    Raises:
        DataError: if there is no scan, the scans don't go with ``series`` or ``label_format``, or ``output``
            is the folder of the images.
        PlanError: if there is no such plan or target, or ``flips`` is malformed.
        RunError: if a model was not trained, the flips would spoil its results, highdicom is not installed,
            or a scan could not be segmented.
    """
    project = open_project(workspace, plan)
    find = partial(find_run, project, dataset=dataset, init=str(init), fraction=fraction, seed=seed)
    target = choose_target(project.plan, dataset).name
    if all_folds:
        runs = _trained_folds(project, target, str(init), fraction, seed) or [find(fold=0)]
    else:
        runs = [find(fold=fold) for fold in dict.fromkeys(folds)]
    scans = find_scans(Path(source), series)
    _refuse_same_folder(Path(source), Path(output), scans)
    logger.info("%s: %s", source, scan_list(scans))
    return predict_files(
        runs,
        scans,
        Path(output),
        label_format=label_format,
        flips=flips,
        wanted=Wanted(probabilities=probabilities, preview=preview, statistics=statistics),
        device=device,
        progress=progress,
    )


def _trained_folds(
    project: Project, target: str, init: str, fraction: float, seed: int | None
) -> list[FinetuneFolder]:
    """The runs of all folds whose training has ended; those that are left out are named in the log."""
    used_seed = project.plan.finetune.seed if seed is None else seed
    folds = len(read_split(project.workspace, project.plan.dataset(target)).folds)
    folders = [
        project.workspace.finetune(project.plan_name, target, init_name(init), fraction, fold, used_seed)
        for fold in range(folds)
    ]
    ready = [folder for folder in folders if _is_trained(folder)]
    absent = [str(fold) for fold, folder in enumerate(folders) if folder not in ready]
    if ready:
        used = [str(fold) for fold, folder in enumerate(folders) if folder in ready]
        not_trained = f"; not trained yet: {', '.join(absent)}" if absent else ""
        logger.info("folds averaged: %s%s", ", ".join(used), not_trained)
    return ready


def _is_trained(folder: FinetuneFolder) -> bool:
    started = folder.run.is_file() and folder.weights.is_file()
    return started and read_finetune_run(folder).status != "running"


def _refuse_same_folder(source: Path, output: Path, scans: Sequence[Scan]) -> None:
    """See that label maps do not come between images, where the next call would take them for scans.

    Raises:
        DataError: if they would.
    """
    if source.resolve() == output.resolve() and not all(scan.is_dicom for scan in scans):
        raise DataError(
            f"{output}: the label maps would lie between the images and be taken for scans by the next "
            "prediction; choose another output folder"
        )
