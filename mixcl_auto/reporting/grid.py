"""What was run under a plan, read from ``run.json`` and ``scores.csv`` alone, and what is missing."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

from mixcl_auto.errors import MixCLError
from mixcl_auto.io.plans import read_split
from mixcl_auto.io.runs import read_finetune_run, read_pretrain_run
from mixcl_auto.io.scores import read_scores
from mixcl_auto.io.workspace import FinetuneFolder, PretrainFolder, Workspace
from mixcl_auto.metrics.averaging import mean_over_organs_then_cases
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.run import FinetuneRun, PretrainRun
from mixcl_auto.records.score import OrganScore

SCRATCH = "scratch"
Figure = Literal["dice", "dice_resampled", "hd95_mm", "surface_dice"]
Unit = tuple[int, int]
"""Fold and seed: two arms are compared where both have the same."""


class RunKey(NamedTuple):
    """Which fine-tuning."""

    dataset: str
    init: str
    fraction: float
    fold: int
    seed: int

    @property
    def unit(self) -> Unit:
        """Fold and seed."""
        return self.fold, self.seed


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
    """Files that could not be read."""
    fold_counts: dict[str, int] = field(default_factory=dict)
    """How many folds each target has, where its split is at hand."""
    _by_key: dict[RunKey, ScoredRun] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._by_key.update({scored.key: scored for scored in self.finished})

    def get(self, key: RunKey) -> ScoredRun | None:
        """The finished run of that key."""
        return self._by_key.get(key)

    def arm(self, dataset: str, init: str, fraction: float) -> dict[Unit, ScoredRun]:
        """The finished runs of one initialisation on one share of labels, by fold and seed."""
        wanted = (dataset, init, fraction)
        return {key.unit: run for key, run in sorted(self._by_key.items()) if key[:3] == wanted}

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
        return tuple(sorted({*self.plan.experiment.fractions, *found}))

    @cached_property
    def inits(self) -> tuple[str, ...]:
        """Scratch, then all other planned initialisations, then others that were run; no ablations."""
        every = _ordered([SCRATCH], self.plan.experiment.inits, (key.init for key in self.keys))
        return tuple(init for init in every if not self.without.get(init))

    @cached_property
    def without(self) -> dict[str, tuple[str, ...]]:
        """For each initialisation the terms of Eq. 2 that its pre-training left out."""
        terms = {started.run.name: tuple(started.run.plan.pretrain.without) for started in self.pretrainings}
        return {**terms, **{scored.key.init: scored.run.without for scored in self.finished}}

    @cached_property
    def expected(self) -> tuple[RunKey, ...]:
        """The plan's experiment: targets x initialisations x fractions x folds x seeds."""
        experiment = self.plan.experiment
        return tuple(
            RunKey(target.name, init, fraction, fold, seed)
            for target in self.plan.targets
            for fraction in experiment.fractions
            for init in experiment.inits
            for fold, seed in sorted(self._planned_units(target.name))
        )

    @cached_property
    def missing(self) -> tuple[RunKey, ...]:
        """Expected runs that are not finished, started or not."""
        return tuple(key for key in self.expected if key not in self._by_key)

    def expected_units(self, dataset: str, init: str, fraction: float) -> int:
        """How many runs an arm should have: the experiment's, and those beyond it."""
        return len(self._planned_units(dataset) | self.arm(dataset, init, fraction).keys())

    def _planned_units(self, dataset: str) -> set[Unit]:
        """The experiment's folds that the target has, with each seed."""
        experiment = self.plan.experiment
        count = self.fold_counts.get(dataset)
        folds = [fold for fold in experiment.folds if count is None or fold < count]
        return {(fold, seed) for fold in folds for seed in experiment.seeds}


def collect_grid(workspace: Workspace, plan: Plan, plan_name: str) -> Grid:
    """Read everything that was run under a plan; files that can't be read are listed, not raised."""
    finished: list[ScoredRun] = []
    unfinished: list[UnfinishedRun] = []
    pretrainings: list[StartedPretraining] = []
    problems: list[str] = []
    for folder in workspace.finetune_runs(plan_name):
        try:
            read = _read(folder)
        except MixCLError as problem:
            problems.append(str(problem))
            continue
        if isinstance(read, ScoredRun):
            finished.append(read)
        else:
            unfinished.append(read)
    for pretrain_folder in workspace.pretrain_runs(plan_name):
        try:
            pretrainings.append(StartedPretraining(pretrain_folder, read_pretrain_run(pretrain_folder)))
        except MixCLError as problem:
            problems.append(str(problem))
    return Grid(
        plan=plan,
        finished=tuple(finished),
        unfinished=tuple(unfinished),
        pretrainings=tuple(pretrainings),
        problems=tuple(problems),
        fold_counts=_count_folds(workspace, plan),
    )


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


def _read(folder: FinetuneFolder) -> ScoredRun | UnfinishedRun:
    """A finished run has scores of every held-out case; whatever else it kept does not matter."""
    run = read_finetune_run(folder)
    if not folder.scores.is_file():
        states = {"running": "in training or stopped", "trained": "trained, not scored"}
        return UnfinishedRun(key_of(run), states.get(run.status, "scores.csv is missing"))
    scores = tuple(read_scores(folder.scores))
    without_score = set(run.held_out_cases) - {score.case for score in scores}
    if without_score:
        return UnfinishedRun(key_of(run), f"no scores of {', '.join(sorted(without_score))}")
    return ScoredRun(folder, run, scores)


def _ordered(*groups: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for group in groups for name in group))
