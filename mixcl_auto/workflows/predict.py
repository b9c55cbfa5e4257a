"""Segmenting scans with fine-tuned models."""

from collections.abc import Iterable
from pathlib import Path

from mixcl_auto.inference.predict import find_images, predict_files
from mixcl_auto.progress import Progress
from mixcl_auto.workflows.inputs import Folder, find_run, open_project


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
    device: str | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Segment a scan or a folder of scans, each on its own grid.

    Args:
        source: a scan, or a folder of scans.
        output: the folder for the label maps and for the plan that made them.
        workspace: the folder of the project.
        plan: a path, or the name of a file under ``plans/``; ``plan.json`` if absent.
        dataset: the target that the models were trained on; may be absent where the plan has one.
        folds: the models' folds; the class probabilities of several are averaged.
        fraction: the models' label fraction.
        init: the models' initialisation.
        seed: the models' seed; the plan's if absent.
        device: such as ``cpu`` or ``cuda:1``; a GPU if there is one, if absent.
        progress: told of every scan.

    Returns:
        The label maps written.

    Raises:
        DataError: if there is no scan.
        RunError: if a model was not trained, or a scan could not be segmented.
    """
    project = open_project(workspace, plan)
    runs = [
        find_run(project, dataset=dataset, init=str(init), fraction=fraction, fold=fold, seed=seed)
        for fold in dict.fromkeys(folds)
    ]
    return predict_files(runs, find_images(Path(source)), Path(output), device=device, progress=progress)
