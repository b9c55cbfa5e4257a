"""What was run under a plan, read from ``run.json`` and ``scores.csv`` alone, and what is missing."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from mixcl_auto.errors import MixCLError
from mixcl_auto.io.plans import read_split
from mixcl_auto.io.runs import read_failure, read_finetune_run, read_pretrain_run
from mixcl_auto.io.scores import read_scores
from mixcl_auto.io.workspace import FinetuneFolder, PretrainFolder, Workspace
from mixcl_auto.metrics.averaging import mean_over_organs_then_cases
from mixcl_auto.records.experiment import RunKey as RunKey
from mixcl_auto.records.experiment import Unit, planned_runs, planned_units
from mixcl_auto.records.failure import first_line
from mixcl_auto.records.plan import Plan, PretrainPlan
from mixcl_auto.records.plan_fields import SCRATCH as SCRATCH
from mixcl_auto.records.run import FinetuneRun, PretrainRun
from mixcl_auto.records.score import OrganScore
from mixcl_auto.reporting.comparable import mixed_weights, other_encoder, other_plan

Figure = Literal["dice", "dice_resampled", "hd95_mm", "surface_dice"]


@dataclass(frozen=True)
class ScoredRun:
    """A finished fine-tuning with its scores."""

    folder: FinetuneFolder
    run: FinetuneRun
    scores: tuple[OrganScore, ...]

    @property
    def key(self) -> RunKey:
        """Which fine-tuning it is."""
        return key_of(self.run)

    def headline(self, figure: Figure = "dice") -> float | None:
        """The mean over organs, then over held-out cases."""
        return mean_over_organs_then_cases((s.case, s.organ, getattr(s, figure)) for s in self.scores)


@dataclass(frozen=True)
class UnfinishedRun:
    """A fine-tuning that has started, and why it does not count."""

    key: RunKey
    state: str


@dataclass(frozen=True)
class StartedPretraining:
    """A pre-training and its folder."""

    folder: PretrainFolder
    run: PretrainRun


@dataclass(frozen=True)
class Grid:
    """All runs of a plan."""

    plan: Plan
    finished: tuple[ScoredRun, ...] = ()
    unfinished: tuple[UnfinishedRun, ...] = ()
    pretrainings: tuple[StartedPretraining, ...] = ()
    problems: tuple[str, ...] = ()
    """Files that could not be read, and folders that are not what they are called."""
    fold_counts: dict[str, int] = field(default_factory=dict)
    """How many folds each target has, where its split is at hand."""

    @cached_property
    def _by_key(self) -> dict[RunKey, ScoredRun]:
        return {scored.key: scored for scored in self.finished}

    def get(self, key: RunKey) -> ScoredRun | None:
        """The finished run of that key."""
        return self._by_key.get(key)

    def arm(self, dataset: str, init: str, fraction: float) -> dict[Unit, ScoredRun]:
        """The finished runs of one initialisation on one share of labels, by fold and seed."""
        return dict(self._arms.get((dataset, init, fraction), {}))

    @cached_property
    def _arms(self) -> dict[tuple[str, str, float], dict[Unit, ScoredRun]]:
        arms: dict[tuple[str, str, float], dict[Unit, ScoredRun]] = {}
        for key, run in sorted(self._by_key.items()):
            arms.setdefault(key[:3], {})[key.unit] = run
        return arms

    @cached_property
    def keys(self) -> tuple[RunKey, ...]:
        """All runs that have started."""
        return tuple(sorted({*self._by_key, *(run.key for run in self.unfinished)}))

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """Planned targets, then others that were run."""
        return _ordered((target.name for target in self.plan.targets), (key.dataset for key in self.keys))

    def fractions(self, dataset: str) -> tuple[float, ...]:
        """Planned and run label fractions of a target, ascending."""
        found = {key.fraction for key in self.keys if key.dataset == dataset}
        return tuple(sorted({*self.plan.experiment.fractions_of(dataset), *found}))

    def is_table_2_alone(self, dataset: str, fraction: float) -> bool:
        """Whether a share of labels is there for the ablations, and no share of Table 1."""
        ablated = any(
            key.dataset == dataset and key.fraction == fraction and self.without.get(key.init)
            for key in self.keys
        )
        return ablated and fraction not in self.plan.experiment.fractions_of(dataset)

    @cached_property
    def inits(self) -> tuple[str, ...]:
        """Scratch, then all other planned initialisations, then others that were run; no ablations."""
        every = _ordered([SCRATCH], self.plan.experiment.inits, (key.init for key in self.keys))
        return tuple(init for init in every if not self.without.get(init))

    @cached_property
    def recipes(self) -> dict[str, PretrainPlan]:
        """The section of its own plan that each recorded pre-training used."""
        return {started.run.name: started.run.plan.pretrain for started in self.pretrainings}

    @cached_property
    def pools(self) -> dict[str, frozenset[str]]:
        """The datasets that initial weights were pre-trained on, as the pre-training or else a run says."""
        told = {
            scored.key.init: frozenset(scored.run.weights.pool)
            for scored in self.finished
            if scored.run.weights is not None and scored.run.weights.pool
        }
        recorded = {
            started.run.name: frozenset(dataset.name for dataset in started.run.plan.pool)
            for started in self.pretrainings
        }
        return told | recorded

    @cached_property
    def without(self) -> dict[str, tuple[str, ...]]:
        """For each initialisation the terms of Eq. 2 that its pre-training left out."""
        terms = {name: tuple(recipe.without) for name, recipe in self.recipes.items()}
        return {**terms, **{scored.key.init: scored.run.without for scored in self.finished}}

    @cached_property
    def expected(self) -> tuple[RunKey, ...]:
        """The runs of the plan's experiment: Table 1's, and Table 2's once one of its ablations has started.

        Every plan names ablations, and who never asked for Table 2 lacks nothing.
        """
        ablated = any(name in self._started_inits for name in self.plan.experiment.ablations)
        return planned_runs(self.plan, self.fold_counts, "all" if ablated else "1")

    @cached_property
    def _started_inits(self) -> set[str]:
        """Initialisations that were pre-trained or fine-tuned from."""
        return {key.init for key in self.keys} | {started.run.name for started in self.pretrainings}

    @cached_property
    def missing(self) -> tuple[RunKey, ...]:
        """Expected runs that are not finished, started or not."""
        return tuple(key for key in self.expected if key not in self._by_key)

    def expected_units(self, dataset: str, init: str, fraction: float) -> int:
        """How many runs an arm should have: the experiment's, and those beyond it."""
        planned = planned_units(self.plan, self.fold_counts, (dataset, init, fraction))
        return len({*planned, *self.arm(dataset, init, fraction)})


def collect_grid(workspace: Workspace, plan: Plan, plan_name: str) -> Grid:
    """Read everything that was run under a plan; files that can't be read are listed, not raised.

    A scored run counts if it was made by the plan as it is now, and from the encoder that is there now: a
    difference of two recipes says nothing about two encoders.
    """
    problems: list[str] = []
    pretrainings = list(_read_pretrainings(workspace, plan_name, problems))
    read = list(_read_finetunings(workspace, plan_name, problems))
    finished, set_aside = _comparable([run for run in read if isinstance(run, ScoredRun)], plan, pretrainings)
    grid = Grid(
        plan=plan,
        finished=tuple(finished),
        unfinished=(*(run for run in read if isinstance(run, UnfinishedRun)), *set_aside),
        pretrainings=tuple(pretrainings),
        problems=tuple(problems),
        fold_counts=_count_folds(workspace, plan),
    )
    return replace(grid, unfinished=(*grid.unfinished, *_without_record(workspace, plan_name, grid)))


def _read_finetunings(
    workspace: Workspace, plan_name: str, problems: list[str]
) -> Iterator[ScoredRun | UnfinishedRun]:
    """All fine-tunings; one in a folder of another name would stand beside or for the run of that name."""
    for folder in workspace.finetune_runs(plan_name):
        try:
            read = read_finetuning(folder)
        except MixCLError as problem:
            problems.append(str(problem))
            continue
        if folder.path == workspace.finetune(plan_name, *read.key).path:
            yield read
        else:
            problems.append(_of_another_name(folder.path, workspace.finetune(plan_name, *read.key).path))


def _read_pretrainings(
    workspace: Workspace, plan_name: str, problems: list[str]
) -> Iterator[StartedPretraining]:
    for folder in workspace.pretrain_runs(plan_name):
        try:
            run = read_pretrain_run(folder)
        except MixCLError as problem:
            problems.append(str(problem))
            continue
        if folder.path.name == run.name:
            yield StartedPretraining(folder, run)
        else:
            problems.append(_of_another_name(folder.path, workspace.pretrain(plan_name, run.name).path))


def _of_another_name(found: Path, wanted: Path) -> str:
    return f"{found} is not counted: it holds a renamed or copied run, whose place is {wanted}"


def _comparable(
    scored: Sequence[ScoredRun], plan: Plan, pretrainings: Sequence[StartedPretraining]
) -> tuple[list[ScoredRun], list[UnfinishedRun]]:
    """The runs that may stand beside each other, and the others with the reason."""
    made = {started.run.name: started.run for started in pretrainings}
    reasons = {run.key: other_plan(run.run, plan) or other_encoder(run.run, made) for run in scored}
    mixed = mixed_weights(run.run for run in scored if not reasons[run.key])
    for run in scored:
        if not reasons[run.key] and (count := mixed.get(run.key.init)):
            reasons[run.key] = f"one of runs that started from {count} different weights of one name"
    return (
        [run for run in scored if not reasons[run.key]],
        [UnfinishedRun(run.key, reasons[run.key]) for run in scored if reasons[run.key]],
    )


def _without_record(workspace: Workspace, plan_name: str, grid: Grid) -> Iterator[UnfinishedRun]:
    """Expected runs that have started, though no record says so: it can't be read, or was never written."""
    for key in sorted(set(grid.missing) - set(grid.keys)):
        folder = workspace.finetune(plan_name, *key)
        if failed := _failed(folder):
            yield UnfinishedRun(key, failed)
        elif folder.run.is_file():
            yield UnfinishedRun(key, "unreadable")


def _count_folds(workspace: Workspace, plan: Plan) -> dict[str, int]:
    """Folds per target; a target of few patients has fewer than the experiment names."""
    counts = {}
    for target in plan.targets:
        with suppress(MixCLError):
            counts[target.name] = len(read_split(workspace, target).folds)
    return counts


def key_of(run: FinetuneRun) -> RunKey:
    """Which fine-tuning a record is of."""
    return RunKey(run.dataset, run.init, run.fraction, run.fold, run.seed)


def read_finetuning(folder: FinetuneFolder) -> ScoredRun | UnfinishedRun:
    """A finished run has scores of every held-out case; whatever else it kept does not matter.

    Raises:
        DataError: if nothing ran in the folder, or its scores are malformed.
        RunError: if its record is malformed.
    """
    run = read_finetune_run(folder)
    if run.status == "running" or not folder.scores.is_file():
        if failed := _failed(folder):
            return UnfinishedRun(key_of(run), failed)
        states = {"running": "in training or stopped", "trained": "trained, not scored"}
        return UnfinishedRun(key_of(run), states.get(run.status, "scores.csv is missing"))
    scores = tuple(read_scores(folder.scores))
    without_score = set(run.held_out_cases) - {score.case for score in scores}
    if without_score:
        return UnfinishedRun(key_of(run), f"no scores of {', '.join(sorted(without_score))}")
    return ScoredRun(folder, run, scores)


def _failed(folder: FinetuneFolder) -> str:
    """That ``experiment`` gave the run up, with the first line of the error; empty if it did not."""
    failure = read_failure(folder)
    return "" if failure is None else f"failed: {first_line(failure.message)}"


def _ordered(*groups: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for group in groups for name in group))
