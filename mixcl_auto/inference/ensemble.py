"""Runs whose class probabilities are averaged."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mixcl_auto.errors import RunError
from mixcl_auto.inference.predictor import Predictor, load_predictor
from mixcl_auto.io.runs import read_finetune_run
from mixcl_auto.io.workspace import FinetuneFolder
from mixcl_auto.records.plan_edits import plan_differences

_RUN_FOLDERS = 5
"""Of a run's path: dataset, initialisation, fraction, fold, seed."""


@dataclass(frozen=True)
class Ensemble:
    """Networks that are averaged, with what a label map's file says of them."""

    predictors: Sequence[Predictor]
    labels: dict[str, int]
    """Organ name to label value."""
    runs: tuple[str, ...]
    """Each run's folder below the plan's results."""
    is_ct: bool
    """Whether they were trained on Hounsfield units."""


def load_ensemble(folders: Sequence[FinetuneFolder], device: str | torch.device | None = None) -> Ensemble:
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
    runs = tuple("/".join(folder.path.parts[-_RUN_FOLDERS:]) for folder in folders)
    dataset = first_run.plan.dataset(first_run.dataset)
    return Ensemble(predictors, dataset.labels, runs, dataset.is_ct)
