"""Fine-tuning, then prediction and scoring of the held-out fold."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mixcl_auto.distributed.launch import read_launch
from mixcl_auto.evaluation.score import score_run
from mixcl_auto.evaluation.summary import summarise_run
from mixcl_auto.finetuning.finetune import finetune as train
from mixcl_auto.finetuning.initial_weights import find_init
from mixcl_auto.inference.flips import with_flips
from mixcl_auto.inference.predict import predict_held_out
from mixcl_auto.io.plans import read_split
from mixcl_auto.io.scores import read_scores
from mixcl_auto.io.workspace import FinetuneFolder
from mixcl_auto.progress import Progress
from mixcl_auto.records.plan_edits import edit_plan
from mixcl_auto.records.score import OrganScore
from mixcl_auto.training.earlier_runs import FINETUNE_SECTIONS, effective_edits
from mixcl_auto.training.event_file import check_tensorboard, recording_events
from mixcl_auto.workflows.data_parallel import group_lock, training_ranks
from mixcl_auto.workflows.inputs import (
    Folder,
    Project,
    choose_target,
    open_project,
    refuse_idle_edits,
    warn_of_long_warmup,
)
from mixcl_auto.workflows.scores_on_the_way import refuse_in_parallel, train_and_score_on_the_way

logger = logging.getLogger(__name__)


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
    tensorboard: bool = False,
    patience_s: float = 0.0,
) -> FinetuneSummary:
    """Fine-tune, predict the held-out cases, score them; resumes a stopped run, leaves a finished one.

    After the steps of ``finetune.score_at`` the training pauses, and the held-out cases are scored too. Under
    ``torchrun`` the processes train together, each on its part of every batch.

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
        tensorboard: also write ``log.csv`` as TensorBoard's events, into ``tensorboard/`` of the run.
        patience_s: how long to wait for another process that works on the same run.

    Raises:
        PlanError: if the plan, an edit, the dataset, the fold or the fraction can't be used.
        RunError: if there is no such pre-training, no cache, the folder holds a run of another plan,
            another process works on it, TensorBoard is wanted and not installed, or several processes are to
            score on the way.
        WeightsError: if the weights do not fit the network.
    """
    edits = list(edits)
    if tensorboard:
        check_tensorboard()
    project = _open_edited(workspace, plan, edits, str(init))
    target = choose_target(project.plan, dataset).name
    folder, training_cases = _find_folder(project, target, fold, fraction, str(init))
    refuse_in_parallel(project.plan.finetune, read_launch().count)
    warn_of_long_warmup("finetune", project.plan.finetune, training_cases)
    with_flips(project.plan, target, None)  # what prediction would refuse is refused before training
    with group_lock(folder, patience_s):
        with (
            training_ranks(device) as (ranks, chosen),
            recording_events(
                progress if ranks.is_first else None, folder, wanted=tensorboard and ranks.is_first
            ) as listener,
        ):
            go_on = partial(
                train,
                project.workspace,
                project.plan,
                project.plan_name,
                dataset=target,
                fold=fold,
                fraction=fraction,
                init=str(init),
                device=chosen,
                progress=listener,
                ranks=ranks,
            )
            train_and_score_on_the_way(
                go_on,
                project.workspace,
                folder,
                project.plan.finetune,
                training_cases=training_cases,
                device=chosen,
                progress=progress,
            )
        if not ranks.is_first:
            return FinetuneSummary(folder, ())
        if not folder.scores.is_file():
            predict_held_out(project.workspace, folder, progress=progress, device=chosen)
            score_run(project.workspace, folder, progress=progress)
    return FinetuneSummary(folder, tuple(read_scores(folder.scores)))


def _open_edited(workspace: Folder, plan: str | Path | None, edits: Sequence[str], init: str) -> Project:
    """The project with its plan as edited; says so if reports will therefore leave the run out."""
    refuse_idle_edits(edits, "finetune", FINETUNE_SECTIONS)
    planned = open_project(workspace, plan)
    project = replace(planned, plan=edit_plan(planned.plan, edits))
    changed = effective_edits(planned.plan, project.plan, init)
    if changed and read_launch().rank == 0:
        logger.warning(
            "this run is not of the plan as it stands (planned, and now: %s), so `report` and `experiment` "
            "won't count it; to compare such runs make a plan of them: plan_and_preprocess --name NEW "
            "--set ...",
            "; ".join(changed),
        )
    return project


def _find_folder(
    project: Project, dataset: str, fold: int, fraction: float, init: str
) -> tuple[FinetuneFolder, int]:
    """The run's folder, and how many cases it trains on.

    What was mistyped is refused before the folder is made for its lock.
    """
    training = read_split(project.workspace, project.plan.dataset(dataset)).training_cases(fold, fraction)
    name = find_init(project.workspace, project.plan_name, init).name
    folder = project.workspace.finetune(
        project.plan_name, dataset, name, fraction, fold, project.plan.finetune.seed
    )
    return folder, len(training)
