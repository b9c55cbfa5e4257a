"""Pre-training under a plan."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from mixcl_auto.errors import RunError
from mixcl_auto.io.workspace import PretrainFolder
from mixcl_auto.pretraining.pretrain import find_folder
from mixcl_auto.pretraining.pretrain import pretrain as train
from mixcl_auto.progress import Progress
from mixcl_auto.records.plan_edits import leave_out, use_method
from mixcl_auto.records.plan_fields import MIXCL, Method, Term
from mixcl_auto.training.event_file import check_tensorboard, recording_events
from mixcl_auto.workflows.data_parallel import group_lock, training_ranks
from mixcl_auto.workflows.inputs import Folder, open_project, refuse_idle_edits, warn_of_long_warmup


def pretrain(
    workspace: Folder = ".",
    *,
    plan: str | Path | None = None,
    name: str | None = None,
    method: Method | None = None,
    without: Iterable[Term] = (),
    edits: Iterable[str] = (),
    device: str | None = None,
    progress: Progress | None = None,
    stop_after: int | None = None,
    tensorboard: bool = False,
    patience_s: float = 0.0,
) -> PretrainFolder:
    """Pre-train the encoder on the plan's pool; resumes a stopped run, leaves a finished one.

    Under ``torchrun`` the processes train together, each on its part of every batch.

    Args:
        workspace: the folder of the project.
        plan: a path, or the name of a file under ``plans/``; ``plan.json`` if absent.
        name: what ``init`` calls this pre-training; its method's name if absent.
        method: ``mixcl``, or ``supervised``, the baseline on the same batches; the plan's if absent.
        without: terms of Eq. 2 to leave out.
        edits: ``section.key=value``, applied to the run's copy of the plan.
        device: such as ``cpu`` or ``cuda:1``; a GPU if there is one, if absent.
        progress: told of every step.
        stop_after: stop cleanly after that many steps, to be resumed later.
        tensorboard: also write ``log.csv`` as TensorBoard's events, into ``tensorboard/`` of the run.
        patience_s: how long to wait for another process that works on the same run.

    Raises:
        PlanError: if the plan or an edit is malformed.
        RunError: if the name can't be used, the cache is missing, the folder holds a run of another plan,
            another process works on it, or TensorBoard is wanted and not installed.
    """
    edits = list(edits)
    if tensorboard:
        check_tensorboard()
    refuse_idle_edits(edits, "pretrain", ("preprocess", "network", "pretrain"))
    project = open_project(workspace, plan, edits)
    without = list(without)
    used = leave_out(use_method(project.plan, method), without)
    _refuse_name_of_the_whole(name, without)
    folder = find_folder(project.workspace, used, project.plan_name, name)
    warn_of_long_warmup("pretrain", used.pretrain, sum(len(dataset.cases) for dataset in used.pool))
    with (
        group_lock(folder, patience_s),
        training_ranks(device) as (ranks, chosen),
        recording_events(
            progress if ranks.is_first else None, folder, wanted=tensorboard and ranks.is_first
        ) as listener,
    ):
        return train(
            project.workspace,
            used,
            project.plan_name,
            name=name,
            device=chosen,
            progress=listener,
            stop_after=stop_after,
            ranks=ranks,
        )


def _refuse_name_of_the_whole(name: str | None, without: Sequence[Term]) -> None:
    """Refuse an ablation under the name that fine-tunings take for the plan's own objective."""
    if without and name in (None, MIXCL):
        raise RunError(
            f"a pre-training without {' and '.join(without)} needs a --name of its own, such as "
            f"no_{without[0]}: {MIXCL} is what finetune takes for the plan's whole objective"
        )
