"""The units of an experiment: each a run with a folder, and a command that carries it out."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mixcl_auto.errors import MixCLError, PlanError
from mixcl_auto.io.plans import find_plan, read_split
from mixcl_auto.io.runs import read_pretrain_run
from mixcl_auto.io.workspace import FinetuneFolder, PretrainFolder, Workspace
from mixcl_auto.records.experiment import (
    Pretraining,
    RunKey,
    TableChoice,
    init_name,
    planned_runs,
    pretrainings_for,
)
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.plan_fields import MIXCL, SCRATCH
from mixcl_auto.records.split import DatasetSplit
from mixcl_auto.reporting.grid import ScoredRun, read_finetuning
from mixcl_auto.workflows.inputs import Folder, Project, open_project, open_workspace


@dataclass(frozen=True)
class GridUnit:
    """One run of an experiment.

    Attributes:
        name: unique; for messages.
        folder: of the run.
        arguments: of the command that carries it out: its name and options, with paths that hold anywhere.
        steps: of its training.
        threads: that it computes with on a CPU.
        arm: what it is counted with: target, init and share of labels; of a pre-training its name.
        part: what tells it from others of its arm.
        needs: the name of the pre-training that it starts from.
    """

    name: str
    folder: PretrainFolder | FinetuneFolder
    arguments: tuple[str, ...]
    steps: int
    threads: int
    arm: tuple[str, ...]
    part: str = ""
    needs: str | None = None

    @property
    def is_pretraining(self) -> bool:
        """Whether others wait for it."""
        return isinstance(self.folder, PretrainFolder)

    @property
    def is_done(self) -> bool:
        """Whether its files say that it is finished."""
        return (
            is_pretrained(self.folder) if isinstance(self.folder, PretrainFolder) else is_scored(self.folder)
        )


@dataclass(frozen=True)
class Experiment:
    """What the units are made from.

    Attributes:
        project: with the workspace under an absolute path, since commands may run elsewhere.
        plan_path: of the plan's file.
        table: which table's runs.
        device: for every command; each chooses its own where absent.
        tensorboard: for every command, see ``pretrain``.
    """

    project: Project
    plan_path: Path
    table: TableChoice = "all"
    device: str | None = None
    tensorboard: bool = False

    def units(self) -> tuple[GridUnit, ...]:
        """The pre-trainings that are still needed or that are done, then the fine-tunings.

        Raises:
            DataError: if the folds of a target can't be read.
            PlanError: if they are not those of the plan.
        """
        plan, workspace, plan_name = self.project.plan, self.project.workspace, self.project.plan_name
        splits = {target.name: read_split(workspace, target) for target in plan.targets}
        keys = planned_runs(plan, {name: len(split.folds) for name, split in splits.items()}, self.table)
        if not keys:
            raise PlanError(self._why_empty())
        folders = {key: workspace.finetune(plan_name, *key) for key in keys}
        wanted = {key.init for key, folder in folders.items() if not is_scored(folder)}
        pretrainings = {
            made.name: self._pretraining(made)
            for made in pretrainings_for(plan, (key.init for key in keys))
            if made.name in wanted or is_pretrained(workspace.pretrain(plan_name, made.name))
        }
        given, parts = given_inits(plan), parts_of_arms(keys)
        finetunings = [
            self._finetuning(
                key, folder, parts[key], splits[key.dataset], given[key.init], pretrainings.get(key.init)
            )
            for key, folder in folders.items()
        ]
        return (*pretrainings.values(), *finetunings)

    def _why_empty(self) -> str:
        """What to change in a plan whose experiment has no run."""
        section = self.project.plan.experiment
        if not self.project.plan.targets:
            return f"{self.plan_path}: no target dataset, so no run; plan again with --target NAME"
        folds = ", ".join(map(str, section.folds)) or "none"
        return (
            f"{self.plan_path}: the experiment has no run: no target has one of experiment.folds ({folds}), "
            "or the table's fractions, seeds or inits are empty; correct them"
        )

    def _pretraining(self, made: Pretraining) -> GridUnit:
        plan = self.project.plan
        options = ["--method", made.method] if made.method != plan.pretrain.method else []
        options += ["--name", made.name] if made.name != made.method else []
        for term in made.without:
            options += ["--without", term]
        return GridUnit(
            name=f"pre-training {made.name}",
            folder=self.project.workspace.pretrain(self.project.plan_name, made.name),
            arguments=("pretrain", *self._shared_options(), *options),
            steps=plan.pretrain.total_iterations(sum(len(dataset.cases) for dataset in plan.pool)),
            threads=plan.pretrain.threads,
            arm=(f"pre-training {made.name}",),
        )

    def _finetuning(
        self,
        key: RunKey,
        folder: FinetuneFolder,
        part: str,
        split: DatasetSplit,
        given: str,
        needed: GridUnit | None,
    ) -> GridUnit:
        plan = self.project.plan
        init = str(Path(given).absolute()) if given != key.init else given
        options = ["-d", key.dataset, "--fold", str(key.fold)]
        options += ["--fraction", repr(key.fraction), "--init", init]
        options += ["--set", f"finetune.seed={key.seed}"] if key.seed != plan.finetune.seed else []
        share = fraction_text(key.fraction)
        return GridUnit(
            name=f"{key.dataset}, {key.init}, {share}, fold {key.fold}, seed {key.seed}",
            folder=folder,
            arguments=("finetune", *self._shared_options(), *options),
            steps=plan.finetune.total_iterations(len(split.training_cases(key.fold, key.fraction))),
            threads=plan.finetune.threads,
            arm=(key.dataset, key.init, share),
            part=part,
            needs=needed.name if needed else None,
        )

    def _shared_options(self) -> tuple[str, ...]:
        device = () if self.device is None else ("--device", self.device)
        tensorboard = ("--tensorboard",) if self.tensorboard else ()
        return ("-p", str(self.plan_path.absolute()), *device, *tensorboard)


def open_experiment(
    folder: Folder,
    plan: str | Path | None,
    table: TableChoice = "all",
    device: str | None = None,
    *,
    tensorboard: bool = False,
) -> Experiment:
    """Read the plan of an experiment.

    Raises:
        PlanError: if there is no such plan, or it is malformed.
    """
    workspace = Workspace(open_workspace(folder).root.absolute())
    path = find_plan(workspace, None if plan is None else str(plan))
    return Experiment(open_project(workspace, path), path, table, device, tensorboard)


def given_inits(plan: Plan) -> dict[str, str]:
    """How results call each init, and how the plan gives it."""
    return {init_name(init): init for init in every_init(plan)}


def every_init(plan: Plan) -> tuple[str, ...]:
    """The inits of both tables, each once, as the plan gives them."""
    experiment = plan.experiment
    every = (SCRATCH, MIXCL, *experiment.ablations, *experiment.ablation_inits, *experiment.inits)
    return tuple(dict.fromkeys(every))


def parts_of_arms(keys: Collection[RunKey]) -> dict[RunKey, str]:
    """What tells each run from others of its arm: the fold, and the seed where the arm has several."""
    seeds: dict[tuple[str, str, float], set[int]] = {}
    for key in keys:
        seeds.setdefault(key[:3], set()).add(key.seed)
    return {
        key: f"fold {key.fold}" + (f", seed {key.seed}" if len(seeds[key[:3]]) > 1 else "") for key in keys
    }


def is_scored(folder: FinetuneFolder) -> bool:
    """Whether a fine-tuning is done: its record, and scores of every held-out case."""
    try:
        return folder.run.is_file() and isinstance(read_finetuning(folder), ScoredRun)
    except (OSError, MixCLError):  # unreadable or malformed: the run itself will say so
        return False


def is_pretrained(folder: PretrainFolder) -> bool:
    """Whether a pre-training is done, with its encoder at hand."""
    try:
        there = folder.run.is_file() and folder.encoder.is_file()
        return there and read_pretrain_run(folder).status == "finished"
    except (OSError, MixCLError):
        return False


def fraction_text(fraction: float) -> str:
    """A share of labels in per cent."""
    return f"{100 * fraction:g} %"
