"""What a step that is not finite leaves: a file with all that it takes to repeat it elsewhere."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mixcl_auto.errors import MixCLError, RunError, WeightsError
from mixcl_auto.io.checkpoints import read_state, write_state
from mixcl_auto.records.plan import Plan, TrainerPlan
from mixcl_auto.training.device import Precision
from mixcl_auto.training.run_log import NonFiniteError
from mixcl_auto.training.samples import Batch, Failure, SampleDataset, SampleSource, collate

FORMAT = "mixcl_auto failed step 1"


@dataclass(frozen=True)
class FailedStep:
    """A training step whose loss or gradient was not finite.

    Attributes:
        section: of the plan: ``pretrain`` or ``finetune``.
        dataset: the target of a fine-tuning, else empty.
        step: counted from 1, as in ``log.csv``.
        terms: the row of the log, as text.
        plan: of the run.
        precision: that the network was computed in.
        network: the weights before the step.
        batch: the whole of it, also where several processes shared it.
    """

    section: str
    dataset: str
    step: int
    terms: str
    plan: Plan
    precision: str
    network: dict[str, Tensor]
    batch: Batch


@contextmanager
def keeping_failed_step(
    path: Path,
    network: nn.Module,
    source: SampleSource,
    *,
    plan: Plan,
    trainer: TrainerPlan,
    dataset: str,
    precision: Precision,
    writes: bool,
) -> Iterator[None]:
    """Write the step to a file if the block ends for one that is not finite; remove it if it ends well.

    The optimiser must have left the weights alone since; see ``hold_if_not_finite`` and ``scaled_loss``.

    Args:
        path: of the file.
        network: in training.
        source: that drew the samples, and draws them once more.
        plan: of the run.
        trainer: its section.
        dataset: the target of a fine-tuning, else empty.
        precision: of the network's passes.
        writes: whether this process is the one that writes.

    Raises:
        RunError: for such a step, with the file and what to do.
    """
    try:
        yield
    except NonFiniteError as problem:
        if not writes:
            raise
        section = "pretrain" if trainer is plan.pretrain else "finetune"
        document = {
            "format": FORMAT,
            "section": section,
            "dataset": dataset,
            "step": problem.step,
            "terms": problem.terms,
            "plan": plan.to_json(),
            "precision": precision,
            "network": network.state_dict(),
        }
        try:
            write_state(path, document | _batch_again(source, trainer, problem.step))
        except (OSError, MixCLError) as another:
            raise RunError(f"{problem}. The step could not be kept to be repeated: {another}") from problem
        raise RunError(
            f"{problem}. {path.name} beside it holds this batch and the weights before the step: "
            f"`mixcl_auto doctor --step {shlex.quote(str(path))}` repeats it and shows where it goes wrong"
        ) from problem
    if writes:
        path.unlink(missing_ok=True)


def read_failed_step(path: Path) -> FailedStep:
    """Read such a file; nothing in it is run.

    Raises:
        WeightsError: if it can't be read, or is something else.
    """
    document = read_state(path)
    if document.get("format") != FORMAT:
        raise WeightsError(f"{path}: not the file of a failed step; give a run's non_finite_step.pt")
    try:
        return _failed_step(path, document)
    except (KeyError, TypeError, ValueError) as problem:
        raise WeightsError(f"{path}: not all of a failed step is there ({problem!r})") from None


def _failed_step(path: Path, document: dict[str, Any]) -> FailedStep:
    words = [document["terms"], document["dataset"], document["precision"], *document["cases"]]
    if not all(isinstance(word, str) and (word.isprintable() or not word) for word in words):
        raise ValueError("its words can't be printed")
    if document["section"] not in ("pretrain", "finetune"):
        raise ValueError(f"there is no section {document['section']!r}")
    return FailedStep(
        section=str(document["section"]),
        dataset=str(document["dataset"]),
        step=int(document["step"]),
        terms=str(document["terms"]),
        plan=Plan.from_json(document["plan"], source=str(path), error=WeightsError),
        precision=str(document["precision"]),
        network=dict(document["network"]),
        batch=Batch(dict(document["tensors"]), tuple(document["cases"]), dict(document["numbers"])),
    )


def _batch_again(source: SampleSource, trainer: TrainerPlan, step: int) -> dict[str, Any]:
    """The step's whole batch, drawn once more, as it is written."""
    samples = SampleDataset(source, seed=trainer.seed, batch_size=trainer.batch_size)
    batch = collate(samples[number] for number in samples.numbers(step - 1, range(trainer.batch_size)))
    if isinstance(batch, Failure):
        raise RunError(batch.message)
    return {"tensors": batch.tensors, "cases": list(batch.cases), "numbers": batch.numbers}
