"""What of a plan's trainings and experiment would not do what the user expects; each a small function."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from mixcl_auto.records.experiment import pretrainings_for
from mixcl_auto.records.names import WEIGHTS_SUFFIXES, random_draw
from mixcl_auto.records.plan import Plan, TrainerPlan
from mixcl_auto.records.plan_fields import MIXCL, SCRATCH, SUPERVISED
from mixcl_auto.records.split import DatasetSplit


def experiment_warnings(plan: Plan, splits: Sequence[DatasetSplit]) -> Iterator[str]:
    """All of them.

    Args:
        plan: with its datasets.
        splits: of its targets.
    """
    yield from _missing_folds(plan, splits)
    yield from _inits_made_by_hand(plan)
    yield from _long_warmups(plan, splits)


def warmup_warning(section: str, trainer: TrainerPlan, steps: int) -> str | None:
    """A warm-up that takes most of a training, as it may where somebody shortens one to try it.

    Args:
        section: of the plan, ``pretrain`` or ``finetune``.
        trainer: that section.
        steps: of the whole training.
    """
    warmup = trainer.warmup_iterations
    if 2 * warmup <= steps:
        return None
    return (
        f"{section}.warmup_iterations is {warmup} of {steps} steps, in which the rate rises; set it to "
        f"{steps // 10} or so"
    )


def _missing_folds(plan: Plan, splits: Sequence[DatasetSplit]) -> Iterator[str]:
    for split in splits:
        count = len(split.folds)
        if missing := sorted(fold for fold in set(plan.experiment.folds) if fold >= count):
            yield (
                f"{split.dataset} has the folds 0 to {count - 1}; of experiment.folds it leaves out "
                f"{', '.join(map(str, missing))}"
            )


def _inits_made_by_hand(plan: Plan) -> Iterator[str]:
    """Names that the experiment can't pre-train itself: meant, or misspelt."""
    experiment = plan.experiment
    known = (SCRATCH, MIXCL, SUPERVISED, *experiment.ablations)
    fields = dict.fromkeys(experiment.ablation_inits, "ablation_inits")
    fields |= dict.fromkeys(experiment.inits, "inits")
    can_be_made = {made.name for made in pretrainings_for(plan, fields)}
    for init, field in fields.items():
        if init in can_be_made or init.endswith(WEIGHTS_SUFFIXES) or random_draw(init) is not None:
            continue
        close = get_close_matches(init, known, n=1)
        hint = f"; if {close[0]} is meant, correct it" if close else ""
        yield (
            f"experiment.{field}: {init} is no pre-training that `experiment` makes; make it first, by "
            f"`pretrain --name {init}`{hint}"
        )


def _long_warmups(plan: Plan, splits: Sequence[DatasetSplit]) -> Iterator[str]:
    if plan.pool:
        steps = plan.pretrain.total_iterations(sum(len(dataset.cases) for dataset in plan.pool))
        if warning := warmup_warning("pretrain", plan.pretrain, steps):
            yield warning
    shortest = [
        plan.finetune.total_iterations(len(split.training_cases(0, fraction)))
        for split in splits
        for fraction in plan.experiment.fractions_of(split.dataset)
    ]
    if shortest and (warning := warmup_warning("finetune", plan.finetune, min(shortest))):
        yield warning
