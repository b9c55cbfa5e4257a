"""What an earlier run in the same folder means for the one that is asked for."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

from mixcl_auto.errors import RunError
from mixcl_auto.io.files import read_text
from mixcl_auto.records.plan import DatasetPlan, Plan
from mixcl_auto.records.plan_edits import plan_differences
from mixcl_auto.records.record import Record
from mixcl_auto.records.run import FinetuneRun

AnyRun = TypeVar("AnyRun", bound=Record)

WITHOUT_EFFECT = frozenset({"workers", "checkpoint_every", "score_at"})
"""Fields of a trainer's section that change no result, so that a resumed run may have others."""
OF_TRANSFERRED_WEIGHTS = frozenset({"transferred_rate"})
"""Fields that change no result of a run from random weights either."""


def read_run(path: Path, kind: type[AnyRun]) -> AnyRun | None:
    """The record of an earlier run; absent where nothing ran yet.

    Raises:
        RunError: if the record is malformed.
    """
    if not path.exists():
        return None
    text = read_text(path, what="run", remedy=f"remove {path.parent} to start the run again")
    return kind.from_json(text, source=str(path), error=RunError)


def refuse_other_pretraining(folder: Path, before: Plan, now: Plan) -> None:
    """See that a folder's pre-training, made under ``before``, is the one that ``now`` asks for.

    Raises:
        RunError: listing every field that differs.
    """
    refuse_other_plan(
        folder,
        before,
        now,
        sections=("preprocess", "network", "pretrain"),
        datasets=lambda plan: plan.pool,
        dataset_fields=("labels", "cases", "fingerprint"),
        remedy="pre-train under another name (--name), or remove that folder to start again",
    )


def refuse_other_finetuning(folder: Path, before: FinetuneRun, now: Plan) -> None:
    """See that a folder's fine-tuning is the one that ``now`` asks for.

    Raises:
        RunError: listing every field that differs.
    """
    refuse_other_plan(
        folder,
        before.plan,
        now,
        sections=("preprocess", "network", "finetune", "inference"),
        datasets=lambda plan: [plan.dataset(before.dataset)],
        dataset_fields=("labels", "cases", "fingerprint", "split"),
        remedy="save this plan under another file name, which names its results, or remove that folder",
        without_effect=WITHOUT_EFFECT if before.weights else WITHOUT_EFFECT | OF_TRANSFERRED_WEIGHTS,
    )


def refuse_other_plan(
    folder: Path,
    before: Plan,
    now: Plan,
    *,
    sections: Sequence[str],
    datasets: Callable[[Plan], Sequence[DatasetPlan]],
    dataset_fields: Sequence[str],
    remedy: str,
    without_effect: Collection[str] = WITHOUT_EFFECT,
) -> None:
    """See that the run in a folder was made by the same recipe.

    Args:
        folder: of the run.
        before: the plan that it used.
        now: the plan to use.
        sections: that change its results.
        datasets: those of a plan that the run uses.
        dataset_fields: of each that change its results.
        remedy: what to do otherwise.
        without_effect: fields of the sections that may differ.

    Raises:
        RunError: listing every field that differs.
    """
    differences = [
        line
        for line in plan_differences(before, now, sections)
        if line.split(":", 1)[0].split(".")[1] not in without_effect
    ]
    differences += _dataset_differences(datasets(before), datasets(now), dataset_fields)
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
