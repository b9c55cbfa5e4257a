"""Scoring predictions: a folder against references, or a fine-tuning again."""

from pathlib import Path

from mixcl_auto.errors import PlanError
from mixcl_auto.evaluation.score import score_folder, score_run
from mixcl_auto.inference.predict import predict_held_out
from mixcl_auto.io.files import check_writable
from mixcl_auto.io.plans import find_plan, read_plan
from mixcl_auto.io.run_lock import run_lock
from mixcl_auto.io.scores import write_scores
from mixcl_auto.progress import Progress
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.score import OrganScore
from mixcl_auto.workflows.inputs import Folder, choose_target, find_run, open_project, open_workspace


def evaluate_run(
    workspace: Folder = ".",
    *,
    plan: str | Path | None = None,
    dataset: str | None = None,
    fold: int = 0,
    fraction: float = 1.0,
    init: str | Path = "mixcl",
    seed: int | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> tuple[list[OrganScore], Path]:
    """Score a fine-tuning's held-out cases again; those without a prediction are predicted first.

    Returns:
        The scores, and the ``scores.csv`` that they were written to.

    Raises:
        PlanError: if there is no such plan or target.
        RunError: if there is no such run, its training has not ended, or another process works on it.
    """
    project = open_project(workspace, plan)
    run = find_run(project, dataset=dataset, init=str(init), fraction=fraction, fold=fold, seed=seed)
    check_writable(run.path)
    with run_lock(run):
        predict_held_out(project.workspace, run, progress=progress, device=device)
        return score_run(project.workspace, run, progress=progress), run.scores


def evaluate_folder(
    predictions: str | Path,
    references: str | Path,
    workspace: Folder = ".",
    *,
    plan: str | Path | None = None,
    dataset: str | None = None,
    progress: Progress | None = None,
) -> tuple[list[OrganScore], Path]:
    """Score a folder of label maps against a folder of references of the same case names.

    The organs and the tolerance are those of the plan's target.

    Args:
        predictions: the folder of predictions; ``plan.json`` in it is the plan that made them.
        references: the folder of references.
        workspace: where to look for the plan.
        plan: a path, or the name of a file under ``plans/``; absent, the one beside the predictions, else
            ``plans/plan.json``.
        dataset: the target; may be absent where the plan has one.
        progress: told of every case.

    Returns:
        The scores, and the ``scores.csv`` beside the predictions that they were written to.

    Raises:
        PlanError: if there is no such plan or target.
        RunError: if a reference has no prediction.
        DataError: if a file can't be read, or the grids of a case differ.
    """
    check_writable(Path(predictions), remedy="let its owner permit it: scores.csv is written there")
    recipe = _plan_of(Path(predictions), workspace, plan)
    labels = choose_target(recipe, dataset).labels
    scores = score_folder(
        Path(predictions),
        Path(references),
        labels,
        tolerance_mm=recipe.inference.surface_tolerance_mm,
        progress=progress,
    )
    path = Path(predictions) / "scores.csv"
    write_scores(path, scores)
    return scores, path


def _plan_of(predictions: Path, workspace: Folder, plan: str | Path | None) -> Plan:
    beside = predictions / "plan.json"
    if plan is None and beside.is_file():
        return read_plan(beside)
    try:
        return read_plan(find_plan(open_workspace(workspace), None if plan is None else str(plan)))
    except PlanError as problem:
        raise PlanError(f"the organs' names come from a plan: {problem}") from None
