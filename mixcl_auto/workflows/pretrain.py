"""Pre-training under a plan."""

from collections.abc import Iterable
from pathlib import Path

from mixcl_auto.errors import RunError
from mixcl_auto.io.workspace import PretrainFolder
from mixcl_auto.pretraining.pretrain import pretrain as train
from mixcl_auto.progress import Progress
from mixcl_auto.records.plan import Plan, Term
from mixcl_auto.workflows.inputs import Folder, open_project, refuse_idle_edits


def pretrain(
    workspace: Folder = ".",
    *,
    plan: str | Path | None = None,
    name: str = "mixcl",
    without: Iterable[Term] = (),
    edits: Iterable[str] = (),
    device: str | None = None,
    progress: Progress | None = None,
    stop_after: int | None = None,
) -> PretrainFolder:
    """Pre-train the encoder on the plan's pool; resumes a stopped run, leaves a finished one.

    Args:
        workspace: the folder of the project.
        plan: a path, or the name of a file under ``plans/``; ``plan.json`` if absent.
        name: what ``init`` calls this pre-training.
        without: terms of Eq. 2 to leave out.
        edits: ``section.key=value``, applied to the run's copy of the plan.
        device: such as ``cpu`` or ``cuda:1``; a GPU if there is one, if absent.
        progress: told of every step.
        stop_after: stop cleanly after that many steps, to be resumed later.

    Raises:
        PlanError: if the plan or an edit is malformed.
        RunError: if the name can't be used, the cache is missing, or the folder holds a run of another plan.
    """
    edits = list(edits)
    refuse_idle_edits(edits, "pretrain", ("preprocess", "network", "pretrain"))
    project = open_project(workspace, plan, edits)
    return train(
        project.workspace,
        leave_out(project.plan, without),
        project.plan_name,
        name=name,
        device=device,
        progress=progress,
        stop_after=stop_after,
    )


def leave_out(plan: Plan, without: Iterable[Term]) -> Plan:
    """The plan without these terms, beside those that it leaves out already.

    Raises:
        RunError: if no term is left.
    """
    terms = tuple(sorted({*plan.pretrain.without, *without}))
    if len(terms) == 3:
        raise RunError("--without names all three terms; leave at least one")
    section = plan.pretrain.model_copy(update={"without": terms})
    return plan.model_copy(update={"pretrain": section})
