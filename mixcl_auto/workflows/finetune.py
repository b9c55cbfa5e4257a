"""Fine-tuning, then prediction and scoring of the held-out fold."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mixcl_auto.evaluation.score import score_run
from mixcl_auto.evaluation.summary import summarise_run
from mixcl_auto.finetuning.finetune import finetune as train
from mixcl_auto.inference.predict import predict_held_out
from mixcl_auto.io.scores import read_scores
from mixcl_auto.io.workspace import FinetuneFolder
from mixcl_auto.progress import Progress
from mixcl_auto.records.score import OrganScore
from mixcl_auto.workflows.data_parallel import training_ranks
from mixcl_auto.workflows.inputs import Folder, choose_target, open_project, refuse_idle_edits


@dataclass(frozen=True)
class FinetuneSummary:
    """A finished fine-tuning at a glance."""

    folder: FinetuneFolder
    scores: tuple[OrganScore, ...]
    """Empty in those of several processes that trained only: the first one predicts and scores."""

    @property
    def cases(self) -> int:
        """How many held-out cases were scored."""
        return summarise_run(self.scores).cases

    @property
    def dice_per_organ(self) -> dict[str, float | None]:
        """Mean over the held-out cases."""
        return {organ.organ: organ.dice for organ in summarise_run(self.scores).organs}

    @property
    def mean_dice(self) -> float | None:
        """Mean over organs, then over cases."""
        return summarise_run(self.scores).dice


def finetune(
    workspace: Folder = ".",
    *,
    plan: str | Path | None = None,
    dataset: str | None = None,
    fold: int = 0,
    fraction: float = 1.0,
    init: str | Path = "mixcl",
    edits: Iterable[str] = (),
    device: str | None = None,
    progress: Progress | None = None,
) -> FinetuneSummary:
    """Fine-tune, predict the held-out cases, score them; resumes a stopped run, leaves a finished one.

    Under ``torchrun`` the processes train together, each on its part of every batch.

    Args:
        workspace: the folder of the project.
        plan: a path, or the name of a file under ``plans/``; ``plan.json`` if absent.
        dataset: the target; may be absent where the plan has one.
        fold: counted from 0.
        fraction: share of the fold's training cases, in (0, 1].
        init: ``scratch``, a pre-training's name, or a weights file.
        edits: ``section.key=value``, applied to the run's copy of the plan.
        device: such as ``cpu`` or ``cuda:1``; a GPU if there is one, if absent.
        progress: told of every step and case.

    Raises:
        PlanError: if the plan, an edit, the dataset, the fold or the fraction can't be used.
        RunError: if there is no such pre-training, no cache, or the folder holds a run of another plan.
        WeightsError: if the weights do not fit the network.
    """
    edits = list(edits)
    refuse_idle_edits(edits, "finetune", ("preprocess", "network", "finetune", "inference"))
    project = open_project(workspace, plan, edits)
    target = choose_target(project.plan, dataset)
    with training_ranks(device) as (ranks, chosen):
        folder = train(
            project.workspace,
            project.plan,
            project.plan_name,
            dataset=target.name,
            fold=fold,
            fraction=fraction,
            init=str(init),
            device=chosen,
            progress=progress if ranks.is_first else None,
            ranks=ranks,
        )
    if not ranks.is_first:
        return FinetuneSummary(folder, ())
    if not folder.scores.is_file():
        predict_held_out(project.workspace, project.plan_name, folder, progress=progress, device=chosen)
        score_run(project.workspace, project.plan_name, folder, progress=progress)
    return FinetuneSummary(folder, tuple(read_scores(folder.scores)))
