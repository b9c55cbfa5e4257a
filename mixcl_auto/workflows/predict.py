"""Segmenting scans with fine-tuned models."""

import logging
from collections.abc import Iterable
from pathlib import Path

from mixcl_auto.inference.predict import LabelFormat, predict_files
from mixcl_auto.inference.scans import find_scans, scan_list
from mixcl_auto.progress import Progress
from mixcl_auto.workflows.inputs import Folder, find_run, open_project

logger = logging.getLogger(__name__)


def predict(
    source: str | Path,
    output: str | Path,
    workspace: Folder = ".",
    *,
    plan: str | Path | None = None,
    dataset: str | None = None,
    folds: Iterable[int] = (0,),
    fraction: float = 1.0,
    init: str | Path = "mixcl",
    seed: int | None = None,
    series: str | None = None,
    label_format: LabelFormat = "nifti",
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
        fraction: the models' label fraction.
        init: the models' initialisation.
        seed: the models' seed; the plan's if absent.
        series: which DICOM series of the scan, by UID or number; the largest axial one if absent.
        label_format: ``nifti``, or ``dicom-seg`` (of DICOM series only; needs the extra ``dicom``).
        device: such as ``cpu`` or ``cuda:1``; a GPU if there is one, if absent.
        progress: told of every scan.

    Returns:
        The label maps written.

    Raises:
        DataError: if there is no scan, or the scans don't go with ``series`` or ``label_format``.
        RunError: if a model was not trained, highdicom is not installed, or a scan could not be segmented.
    """
    project = open_project(workspace, plan)
    runs = [
        find_run(project, dataset=dataset, init=str(init), fraction=fraction, fold=fold, seed=seed)
        for fold in dict.fromkeys(folds)
    ]
    scans = find_scans(Path(source), series)
    logger.info("%s: %s", source, scan_list(scans))
    return predict_files(
        runs, scans, Path(output), label_format=label_format, device=device, progress=progress
    )
