"""What a plan's experiment asks for: which fine-tunings, and which pre-trainings they start from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from mixcl_auto.errors import PlanError
from mixcl_auto.records.names import WEIGHTS_SUFFIXES as WEIGHTS_SUFFIXES
from mixcl_auto.records.names import init_name as init_name
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.plan_fields import MIXCL, SCRATCH, SUPERVISED, Method, Term

TableChoice = Literal["all", "1", "2"]
Unit = tuple[int, int]
"""Fold and seed: two arms are compared where both have the same."""
Arm = tuple[str, str, float]
"""Target, init and share of labels."""


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
class Pretraining:
    """A pre-training that the plan can make.

    Attributes:
        name: what ``--init`` calls it.
        method: ``mixcl`` or ``supervised``.
        without: terms of Eq. 2 that it leaves out, beside those of the plan.
    """

    name: str
    method: Method = "mixcl"
    without: tuple[Term, ...] = ()


def planned_runs(
    plan: Plan, fold_counts: Mapping[str, int], table: TableChoice = "all"
) -> tuple[RunKey, ...]:
    """The fine-tunings of the plan's experiment, each once, in the order in which they are best run.

    That is one seed and fold after the other, every initialisation and share of labels of it together: what
    an unfinished experiment has can be compared.

    Args:
        plan: with its targets.
        fold_counts: how many folds each target has; a target that is not named has all that are asked for.
        table: ``1`` for targets x fractions x inits x folds x seeds, ``2`` for the ablations beside
            ``scratch`` and ``mixcl``; a run of both is one.
    """
    experiment = plan.experiment
    runs: list[RunKey] = []
    for target in (dataset.name for dataset in plan.targets):
        folds = _folds(plan, fold_counts.get(target))
        if table != "2":
            for fraction in experiment.fractions_of(target):
                runs += _arms(target, fraction, experiment.inits, folds, experiment.seeds_of(fraction))
        compared = (*experiment.ablations, *experiment.ablation_inits)
        if table != "1" and compared:
            for fraction in experiment.ablation_fractions_of(target):
                inits, seeds = (SCRATCH, *compared, MIXCL), experiment.ablation_seeds_of(fraction)
                runs += _arms(target, fraction, inits, folds, seeds)
    return tuple(sorted(dict.fromkeys(runs), key=lambda run: (run.seed, run.fold)))


def planned_units(plan: Plan, fold_counts: Mapping[str, int], arm: Arm) -> tuple[Unit, ...]:
    """The folds and seeds that an arm should have: one that is in no table those of its share of labels.

    Args:
        plan: with its targets.
        fold_counts: see ``planned_runs``.
        arm: target, init and share of labels.
    """
    target, _, fraction = arm
    planned = tuple(run.unit for run in planned_runs(plan, fold_counts) if run[:3] == arm)
    if planned:
        return planned
    folds, seeds = _folds(plan, fold_counts.get(target)), plan.experiment.seeds_of(fraction)
    return tuple((fold, seed) for seed in sorted(set(seeds)) for fold in folds)


def pretrainings_for(plan: Plan, inits: Iterable[str]) -> tuple[Pretraining, ...]:
    """The pre-trainings that the plan can make for these inits, in their order.

    Random weights need none; weights files and pre-trainings made by hand under other names can't be made.
    """
    known = {
        MIXCL: Pretraining(MIXCL),
        SUPERVISED: Pretraining(SUPERVISED, method="supervised"),
        **{name: Pretraining(name, without=terms) for name, terms in plan.experiment.ablations.items()},
    }
    return tuple(known[init] for init in dict.fromkeys(inits) if init in known)


def check_experiment(plan: Plan) -> None:
    """See that the experiment goes with the rest of a plan that has its datasets.

    Raises:
        PlanError: naming every target that there is not, and every pre-training that can't be made.
    """
    targets = [dataset.name for dataset in plan.targets]
    mistakes = [
        f"  experiment.{field}: {name} is no target of the plan (targets: {', '.join(targets) or 'none'})"
        for field in ("target_fractions", "target_ablation_fractions")
        for name in getattr(plan.experiment, field)
        if name not in targets
    ]
    every_fraction = {
        fraction for target in targets for fraction in plan.experiment.every_fraction_of(target)
    }
    mistakes += [
        f"  experiment.fraction_seeds: {fraction:g} is no share of labels of the experiment"
        for fraction in plan.experiment.fraction_seeds
        if targets and fraction not in every_fraction
    ]
    mistakes += [
        f"  experiment.ablations.{name}: with pretrain.without no term is left; leave at least one"
        for name, terms in plan.experiment.ablations.items()
        if len({*terms, *plan.pretrain.without}) == 3
    ]
    if SUPERVISED in plan.experiment.inits and plan.pretrain.without:
        mistakes.append(
            f"  experiment.inits: {SUPERVISED} has no terms to leave out, and pretrain.without names some; "
            "leave them to experiment.ablations"
        )
    if mistakes:
        raise PlanError("\n".join(["the plan's experiment can't be run; correct these fields:", *mistakes]))


def _folds(plan: Plan, count: int | None) -> list[int]:
    """The experiment's folds that a target of ``count`` folds has."""
    return sorted(fold for fold in set(plan.experiment.folds) if count is None or fold < count)


def _arms(
    target: str, fraction: float, inits: Iterable[str], folds: Iterable[int], seeds: Iterable[int]
) -> list[RunKey]:
    return [
        RunKey(target, init_name(init), fraction, fold, seed)
        for init in inits
        for seed in seeds
        for fold in folds
    ]
