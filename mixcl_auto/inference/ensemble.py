"""Runs whose class probabilities are averaged."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mixcl_auto import __version__
from mixcl_auto.errors import RunError
from mixcl_auto.inference.predictor import Predictor, load_predictor
from mixcl_auto.io.files import file_sha256
from mixcl_auto.io.runs import read_finetune_run
from mixcl_auto.io.workspace import FinetuneFolder
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.plan_edits import plan_differences
from mixcl_auto.records.prediction import PredictingModel, PredictionRecord
from mixcl_auto.records.record import content_hash

_RUN_FOLDERS = 5
"""Of a run's path: dataset, initialisation, fraction, fold, seed."""


@dataclass(frozen=True)
class Ensemble:
    """Networks that are averaged, with what a label map's file says of them."""

    predictors: Sequence[Predictor]
    labels: dict[str, int]
    """Organ name to label value."""
    models: tuple[PredictingModel, ...]
    is_ct: bool
    """Whether they were trained on Hounsfield units."""

    @property
    def plan(self) -> Plan:
        """The recipe that they share, with this call's flips."""
        return self.predictors[0].plan

    def place(self) -> dict[str, str]:
        """Where and in which precision the first network computes now, for the record."""
        first = self.predictors[0]
        return {"device": str(first.device), "precision": first.precision}

    def record(self) -> PredictionRecord:
        """What predicts; no scan yet."""
        return PredictionRecord(
            mixcl_auto=__version__,
            torch=torch.__version__,
            **self.place(),
            plan=content_hash(self.plan),
            models=self.models,
            flips=self.plan.inference.flips,
            overlap=self.plan.inference.overlap,
        )


def load_ensemble(
    folders: Sequence[FinetuneFolder], device: str | torch.device | None = None, flips: str | None = None
) -> Ensemble:
    """Load runs that may be averaged, each one's weights once.

    Args:
        folders: of the runs.
        device: as torch spells it; the first GPU, or the CPU, where absent.
        flips: instead of the plan's ``inference.flips``, where given.

    Raises:
        RunError: if there is none, two differ in grid, window, network, windows or labels, or the flips would
            spoil their results.
    """
    if not folders:
        raise RunError("no run to predict with; name at least one fold")
    predictors = [load_predictor(folder, device, flips) for folder in folders]
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
    dataset = first_run.plan.dataset(first_run.dataset)
    return Ensemble(predictors, dataset.labels, tuple(map(_model, folders)), dataset.is_ct)


def _model(folder: FinetuneFolder) -> PredictingModel:
    run = "/".join(folder.path.parts[-_RUN_FOLDERS:])
    return PredictingModel(run=run, weights_sha256=file_sha256(folder.weights))
