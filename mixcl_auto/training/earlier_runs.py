"""What an earlier run in the same folder means for the one that is asked for."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

from mixcl_auto.errors import RunError
from mixcl_auto.io.files import read_text
from mixcl_auto.io.workspace import previous_checkpoint
from mixcl_auto.records.names import random_draw
from mixcl_auto.records.plan import DatasetPlan, Plan
from mixcl_auto.records.plan_edits import plan_differences
from mixcl_auto.records.plan_fields import SCRATCH_SLOW
from mixcl_auto.records.record import Record
from mixcl_auto.records.run import FinetuneRun, PretrainRun

AnyRun = TypeVar("AnyRun", bound=Record)

FINETUNE_SECTIONS = ("preprocess", "network", "finetune", "inference")
"""Sections of a plan that change a fine-tuning's results."""
WITHOUT_EFFECT = frozenset({"workers", "checkpoint_every", "score_at"})
"""Fields of a trainer's section that change no result, so that a resumed run may have others."""


def read_run(path: Path, kind: type[AnyRun]) -> AnyRun | None:
    """The record of an earlier run; absent where nothing ran yet.

    Raises:
        RunError: if the record is malformed.
    """
    if not path.exists():
        return None
    text = read_text(path, what="run", remedy=f"remove {path.parent} to start the run again")
    return kind.from_json(text, source=str(path), error=RunError)


def begun_precision(
    before: FinetuneRun | PretrainRun | None, checkpoint: Path, planned: str, device: str
) -> str:
    """What precision to ask for: ``auto`` is resolved once, when a run begins.

    Args:
        before: the earlier run in the folder.
        checkpoint: of that run; without one it begins anew.
        planned: the plan's value.
        device: kind of the one that computes now, such as ``cuda``.

    Raises:
        RunError: if the device can't go on in the precision that the run began in.
    """
    begun = any(file.is_file() for file in (checkpoint, previous_checkpoint(checkpoint)))
    if planned != "auto" or before is None or not begun:
        return planned
    if before.environment.precision == "fp16" and device != "cuda":
        raise RunError(
            f"{checkpoint.parent}: the run began in fp16 on a GPU and can't go on in it on {device}; go on "
            "on a GPU, or remove that folder to start again"
        )
    return before.environment.precision


def refuse_other_pretraining(folder: Path, before: Plan, now: Plan) -> None:
    """See that a folder's pre-training, made under ``before``, is the one that ``now`` asks for.

    Raises:
        RunError: listing every field that differs.
    """
    _refuse(
        folder,
        pretraining_differences(before, now),
        "pre-train under another name (--name), or remove that folder to start again",
    )


def pretraining_differences(
    before: Plan, now: Plan, sections: Sequence[str] = ("preprocess", "network", "pretrain")
) -> list[str]:
    """Every field of the sections and the pool in which two plans ask for different pre-trainings."""
    return _differences(
        before,
        now,
        sections=sections,
        datasets=lambda plan: plan.pool,
        dataset_fields=("labels", "cases", "fingerprint"),
    )


def refuse_other_finetuning(folder: Path, before: FinetuneRun, now: Plan) -> None:
    """See that a folder's fine-tuning is the one that ``now`` asks for.

    Raises:
        RunError: listing every field that differs.
    """
    _refuse(
        folder,
        finetuning_differences(before, now),
        "leave out what --set changed, or make another plan with it, which has results of its own "
        "(plan_and_preprocess --name NEW --set ...), or remove that folder",
    )


def finetuning_differences(before: FinetuneRun, now: Plan) -> list[str]:
    """Every field in which the plan of a fine-tuning differs from ``now`` and that changes its results."""
    differences = _differences(
        before.plan,
        now,
        sections=FINETUNE_SECTIONS,
        datasets=lambda plan: [d for d in plan.datasets if d.name == before.dataset],
        dataset_fields=("labels", "cases", "fingerprint", "split"),
        without_effect=_without_effect(before.init),
    )
    if before.init == SCRATCH_SLOW:
        handed_on = plan_differences(before.plan, now, ("pretrain",))
        differences += [line for line in handed_on if line.startswith("pretrain.hand_on_level_0:")]
    return differences


def with_seed_of(run: FinetuneRun, plan: Plan) -> Plan:
    """The plan with the run's seed, of which an experiment has several."""
    return plan.model_copy(update={"finetune": plan.finetune.model_copy(update={"seed": run.seed})})


def effective_edits(planned: Plan, edited: Plan, init: str) -> list[str]:
    """What ``--set`` changes of a fine-tuning's results, but for the seed, of which a plan has several.

    Args:
        planned: the plan as its file has it.
        edited: with the edits.
        init: initial weights, as ``--init`` names them.
    """
    return _changed(planned, edited, FINETUNE_SECTIONS, _without_effect(init) | {"seed"})


def _without_effect(init: str) -> frozenset[str]:
    """Fields that change no result of a fine-tuning: also the encoder's rate, where that is the network's."""
    is_at_full_rate = random_draw(init) is not None and init != SCRATCH_SLOW
    return WITHOUT_EFFECT | {"transferred_rate"} if is_at_full_rate else WITHOUT_EFFECT


def _changed(before: Plan, now: Plan, sections: Sequence[str], without_effect: Collection[str]) -> list[str]:
    return [
        line
        for line in plan_differences(before, now, sections)
        if line.split(":", 1)[0].split(".")[1] not in without_effect
    ]


def _differences(
    before: Plan,
    now: Plan,
    *,
    sections: Sequence[str],
    datasets: Callable[[Plan], Sequence[DatasetPlan]],
    dataset_fields: Sequence[str],
    without_effect: Collection[str] = WITHOUT_EFFECT,
) -> list[str]:
    """What of two plans differs and changes results.

    Args:
        before: the plan that a run used.
        now: the plan to use.
        sections: that change its results.
        datasets: those of a plan that the run uses.
        dataset_fields: of each that change its results.
        without_effect: fields of the sections that may differ.
    """
    differences = _changed(before, now, sections, without_effect)
    return differences + _dataset_differences(datasets(before), datasets(now), dataset_fields)


def _refuse(folder: Path, differences: Sequence[str], remedy: str) -> None:
    if differences:
        lines = "\n".join(f"  {line}" for line in differences)
        raise RunError(
            f"{folder} holds a run of another plan (its value, then this plan's):\n{lines}\n{remedy}"
        )


def _dataset_differences(
    before: Sequence[DatasetPlan], now: Sequence[DatasetPlan], fields: Sequence[str]
) -> list[str]:
    first = {dataset.name: dataset for dataset in before}
    second = {dataset.name: dataset for dataset in now}
    differences = [f"datasets.{name}: used then, not now" for name in sorted(first.keys() - second.keys())]
    differences += [f"datasets.{name}: not used then" for name in sorted(second.keys() - first.keys())]
    for name in sorted(first.keys() & second.keys()):
        changed = [field for field in fields if getattr(first[name], field) != getattr(second[name], field)]
        differences += [f"datasets.{name}.{field}: not the same" for field in changed]
    return differences
