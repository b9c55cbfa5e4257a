"""What a plan's experiment asks for: which fine-tunings, and which pre-trainings they start from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from mixcl_auto.errors import PlanError
from mixcl_auto.records.names import WEIGHTS_SUFFIXES as WEIGHTS_SUFFIXES
from mixcl_auto.records.names import init_name as init_name
from mixcl_auto.records.plan import MIXCL, SCRATCH, SUPERVISED, Method, Plan, Term

TableChoice = Literal["all", "1", "2"]
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
    """The fine-tunings of the plan's experiment, each once.

    Args:
        plan: with its targets.
        fold_counts: how many folds each target has; a target that is not named has all that are asked for.
        table: ``1`` for targets x fractions x inits x folds x seeds, ``2`` for the ablations beside
            ``scratch`` and ``mixcl``; a run of both is one.
    """
    experiment = plan.experiment
    runs: list[RunKey] = []
    for target in (dataset.name for dataset in plan.targets):
        units = planned_units(plan, fold_counts, target)
        if table != "2":
            runs += _arms(target, experiment.fractions_of(target), experiment.inits, units)
        if table != "1" and experiment.ablations:
            inits = (SCRATCH, *experiment.ablations, MIXCL)
            runs += _arms(target, experiment.ablation_fractions_of(target), inits, units)
    return tuple(dict.fromkeys(runs))


def planned_units(plan: Plan, fold_counts: Mapping[str, int], target: str) -> tuple[Unit, ...]:
    """The experiment's folds that a target has, with each seed."""
    count = fold_counts.get(target)
    folds = sorted(fold for fold in set(plan.experiment.folds) if count is None or fold < count)
    return tuple((fold, seed) for fold in folds for seed in sorted(set(plan.experiment.seeds)))


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


def _arms(
    target: str, fractions: Iterable[float], inits: Iterable[str], units: Iterable[Unit]
) -> list[RunKey]:
    return [
        RunKey(target, init_name(init), fraction, fold, seed)
        for fraction in fractions
        for init in inits
        for fold, seed in units
    ]
