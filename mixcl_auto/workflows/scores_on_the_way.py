"""Dice of a fine-tuning before its end: the held-out fold scored after steps that the plan names."""

import logging
from collections.abc import Callable, Sequence
from functools import partial

import torch

from mixcl_auto.errors import RunError
from mixcl_auto.evaluation.score import score_held_out
from mixcl_auto.inference.predict import predict_cached
from mixcl_auto.inference.predictor import predictor_of
from mixcl_auto.io.runs import read_finetune_run
from mixcl_auto.io.scores import write_scores
from mixcl_auto.io.workspace import FinetuneFolder, Workspace
from mixcl_auto.progress import Progress
from mixcl_auto.records.plan import FinetunePlan
from mixcl_auto.training.saved_network import saved_network

logger = logging.getLogger(__name__)


def refuse_in_parallel(plan: FinetunePlan, processes: int) -> None:
    """Several processes train without a pause: the others would wait while one predicts, and not for long.

    Raises:
        RunError: if there are several, and steps to score.
    """
    if plan.score_at and processes > 1:
        raise RunError(
            f"finetune.score_at names steps to score on the way, which {processes} processes can't stop for: "
            "train in one process, or leave them out (--set finetune.score_at=[])"
        )


def train_and_score_on_the_way(
    go_on: Callable[..., FinetuneFolder],
    workspace: Workspace,
    folder: FinetuneFolder,
    plan: FinetunePlan,
    *,
    training_cases: int,
    device: torch.device,
    progress: Progress | None,
) -> None:
    """Train to the end, with a pause after each step that is still to be scored.

    Args:
        go_on: trains to the end, or up to the step ``stop_at``.
        workspace: with the raw data and the plan's cache.
        folder: of the run.
        plan: says which steps.
        training_cases: how many there are, which the length of an epoch depends on.
        device: to predict on.
        progress: told of every case that is scored.
    """
    steps = _steps_within(folder, plan, plan.total_iterations(training_cases))
    if _is_trained(folder):
        if lost := [step for step in steps if not folder.scores_at(step).is_file()]:
            _warn_of_lost(folder, lost)
        steps = []
    for step in steps:
        go_on(stop_at=step)  # a run that begins removes an earlier one's scores, so they are looked for after
        if not folder.scores_at(step).is_file():
            _score_after(step, workspace, folder, device, progress)
    go_on()


def _steps_within(folder: FinetuneFolder, plan: FinetunePlan, total: int) -> list[int]:
    """The plan's steps that come before the last one; where it counts epochs, a run may be shorter."""
    if beyond := [str(step) for step in plan.score_at if step >= total]:
        logger.warning(
            "%s: the run has %d steps; none to score after step %s", folder.path, total, ", ".join(beyond)
        )
    return [step for step in plan.score_at if step < total]


def _is_trained(folder: FinetuneFolder) -> bool:
    return folder.run.is_file() and read_finetune_run(folder).status != "running"


def _score_after(
    step: int, workspace: Workspace, folder: FinetuneFolder, device: torch.device, progress: Progress | None
) -> None:
    """Predict and score in memory with the weights after a step, unless the run is beyond it."""
    weights = saved_network(folder.checkpoint, step)
    if weights is None:
        _warn_of_lost(folder, [step])
        return
    run = read_finetune_run(folder)
    predicted = partial(predict_cached, predictor_of(run, weights, device))
    scores = score_held_out(workspace, run, predicted, progress, when=f" after step {step}")
    write_scores(folder.scores_at(step), scores)


def _warn_of_lost(folder: FinetuneFolder, steps: Sequence[int]) -> None:
    logger.warning(
        "%s: the run went beyond step %s without being scored there, so there will be no %s; to have it, "
        "remove the folder and fine-tune again",
        folder.path,
        ", ".join(map(str, steps)),
        ", ".join(folder.scores_at(step).name for step in steps),
    )
