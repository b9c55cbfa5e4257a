"""How workflows take what callers name: the workspace, raw data elsewhere, the plan, the target, the run."""

import logging
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixcl_auto.errors import PlanError, RunError
from mixcl_auto.io.plans import find_plan, read_plan
from mixcl_auto.io.raw_links import link_datasets
from mixcl_auto.io.workspace import FinetuneFolder, Workspace, fraction_name, init_name
from mixcl_auto.planning.experiment_warnings import warmup_warning
from mixcl_auto.records.plan import DatasetPlan, Plan, TrainerPlan
from mixcl_auto.records.plan_edits import EDITABLE_SECTIONS, edit_plan

logger = logging.getLogger(__name__)

Folder = str | Path | Workspace


@dataclass(frozen=True)
class Project:
    """A workspace with the plan to work under."""

    workspace: Workspace
    plan: Plan
    plan_name: str
    """The plan's file name without ``.json``, which names its results."""


def is_plan_name(name: str) -> bool:
    """Whether a plan can be called so: letters, digits, - and _, which need no quotes in any shell."""
    return re.fullmatch(r"[A-Za-z0-9_-]+", name) is not None


def open_workspace(folder: Folder) -> Workspace:
    """The workspace in a folder; it need not exist yet."""
    return folder if isinstance(folder, Workspace) else Workspace(Path(folder))


def link_raw_data(workspace: Workspace, folder: str | Path, names: Sequence[str]) -> None:
    """Link datasets that lie elsewhere into the workspace, and say so.

    Raises:
        DataError: see ``link_datasets``.
    """
    if linked := link_datasets(workspace.raw_data, Path(folder), names):
        logger.info("linked into %s: %s", workspace.raw_data, ", ".join(linked))


def open_project(folder: Folder, plan: str | Path | None, edits: Iterable[str] = ()) -> Project:
    """Read the plan and apply edits to the copy.

    Raises:
        PlanError: if there is no such plan, if it is malformed, or if an edit is.
    """
    workspace = open_workspace(folder)
    path = find_plan(workspace, None if plan is None else str(plan))
    return Project(workspace, edit_plan(read_plan(path), edits), path.stem)


def refuse_idle_edits(edits: Iterable[str], command: str, sections: Sequence[str]) -> None:
    """Refuse edits that the command's run would not obey.

    Raises:
        PlanError: naming them, and the sections that count.
    """
    known = [edit for edit in edits if edit.partition(".")[0].strip() in EDITABLE_SECTIONS]
    idle = [edit for edit in known if edit.partition(".")[0].strip() not in sections]
    if idle:
        raise PlanError(
            f"--set {', '.join(idle)}: `{command}` does not use that section, only {', '.join(sections)}; "
            "leave it out, or give it to the command that does"
        )


def warn_of_long_warmup(section: str, trainer: TrainerPlan, cases: int) -> None:
    """Say so if the rate would rise for most of a training of ``cases``: ``--set`` may have shortened it."""
    if warning := warmup_warning(section, trainer, trainer.total_iterations(cases)):
        logger.warning("%s", warning)


def choose_target(plan: Plan, name: str | None) -> DatasetPlan:
    """The target dataset of that name, or the only one.

    Raises:
        PlanError: if there is none, if it is not a target, or if no name is given and the plan has several.
    """
    names = ", ".join(dataset.name for dataset in plan.targets) or "none"
    if name is not None:
        if name not in {dataset.name for dataset in plan.datasets}:
            raise PlanError(f"the plan has no dataset {name!r}; its targets: {names}")
        dataset = plan.dataset(name)
        if not dataset.is_target:
            raise PlanError(f"{name} has the role {dataset.role}, not target; the plan's targets: {names}")
        return dataset
    if not plan.targets:
        raise PlanError(
            "the plan has no target dataset to fine-tune on; plan again with `mixcl_auto plan_and_preprocess "
            "--target NAME`"
        )
    if len(plan.targets) != 1:
        raise PlanError(f"the plan's targets: {names}; say which with -d NAME")
    return plan.targets[0]


def find_run(
    project: Project, *, dataset: str | None, init: str, fraction: float, fold: int, seed: int | None
) -> FinetuneFolder:
    """The folder of a fine-tuning that was run.

    Raises:
        PlanError: see ``choose_target``.
        RunError: if it was not run; the message lists what was.
    """
    target = choose_target(project.plan, dataset)
    workspace, plan = project.workspace, project.plan
    used_seed = plan.finetune.seed if seed is None else seed
    name = init_name(init)
    folder = workspace.finetune(project.plan_name, target.name, name, fraction, fold, used_seed)
    if folder.run.is_file():
        return folder
    root = workspace.plan_results(project.plan_name)
    known = [str(run.path.relative_to(root)) for run in workspace.finetune_runs(project.plan_name)]
    listed = "\n".join(["there are:", *(f"  {path}" for path in known)]) if known else "there is none yet"
    wanted = f"{target.name}, {name}, {fraction_name(fraction)}, fold {fold}, seed {used_seed}"
    command = f"mixcl_auto finetune -p {project.plan_name}.json -d {shlex.quote(target.name)} --fold {fold} "
    command += f"--fraction {fraction:g} --init {shlex.quote(init)}"
    command += "" if seed is None else f" --seed {seed}"
    raise RunError(
        f"no fine-tuning of {wanted} under {root}; {listed}\nname one of these, or run `{command}` first"
    )
