"""A step that was not finite, once more: where it goes wrong."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mixcl_auto.errors import WeightsError
from mixcl_auto.records.plan import Plan, TrainerPlan
from mixcl_auto.training.device import (
    Precision,
    choose_device,
    deterministic,
    limited_threads,
    resolve_precision,
)
from mixcl_auto.training.failed_step import FailedStep, read_failed_step
from mixcl_auto.training.loop import Objective
from mixcl_auto.workflows.random_step import start_finetuning, start_pretraining

_LISTED = 5


@dataclass(frozen=True)
class Repetition:
    """What came of a step in one precision."""

    precision: Precision
    terms: dict[str, float]
    """The row of the log."""
    odd_gradients: tuple[str, ...]
    """Parameters whose gradient is not finite, in the network's order."""


@dataclass(frozen=True)
class RepeatedStep:
    """A failed step, and what came of it now.

    Attributes:
        failed: as it was written.
        odd_inputs: name of each tensor of the batch that is not finite, to the cases that it is of.
        odd_weights: parameters that were not finite before the step.
        repetitions: in the run's precision, and in fp32 where that is another.
    """

    failed: FailedStep
    odd_inputs: dict[str, tuple[str, ...]]
    odd_weights: tuple[str, ...]
    repetitions: tuple[Repetition, ...]


def repeat_step(path: Path, *, device: str | None = None) -> RepeatedStep:
    """Repeat the step of a ``non_finite_step.pt``: its batch, with the weights before it.

    Args:
        path: of the file.
        device: as torch spells it; the first GPU, or the CPU, where absent.

    Raises:
        WeightsError: if the file can't be read, or does not hold what its plan needs.
        RunError: if there is no such device.
    """
    failed, chosen = read_failed_step(path), choose_device(device)
    trainer: TrainerPlan = failed.plan.pretrain if failed.section == "pretrain" else failed.plan.finetune
    first = resolve_precision(_usable(failed.precision, chosen), chosen, failed.plan.network.patch_size)
    precisions: list[Precision] = [first] if first == "fp32" else [first, "fp32"]
    try:
        with limited_threads(trainer.threads), deterministic(chosen, wanted=trainer.deterministic):
            repetitions = tuple(_repeat(failed, chosen, precision) for precision in precisions)
    except (RuntimeError, LookupError, AttributeError, TypeError, ValueError, MemoryError) as problem:
        cause = " ".join(str(problem).split())[:300]
        raise WeightsError(
            f"{path}: the step can't be repeated ({type(problem).__name__}: {cause})"
        ) from problem
    return RepeatedStep(
        failed=failed,
        odd_inputs=_odd_inputs(failed),
        odd_weights=_not_finite(failed.network),
        repetitions=repetitions,
    )


def _usable(precision: str, device: torch.device) -> str:
    """The run's precision where this device has it."""
    return "auto" if precision == "fp16" and device.type != "cuda" else precision


def _repeat(failed: FailedStep, device: torch.device, precision: Precision) -> Repetition:
    network, objective = _start(failed.plan, failed, device, precision)
    network.load_state_dict(failed.network)
    network.train()
    loss, row = objective(failed.batch.to(device), measure_gradients=False)
    torch.autograd.backward(loss)
    gradients = {
        name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None
    }
    terms = {name: float(torch.as_tensor(value).detach()) for name, value in row.items() if value is not None}
    return Repetition(precision, terms, _not_finite(gradients))


def _start(
    plan: Plan, failed: FailedStep, device: torch.device, precision: Precision
) -> tuple[nn.Module, Objective]:
    if failed.section == "pretrain":
        _, state, pretraining = start_pretraining(plan, device, precision)
        return state.network, pretraining
    class_count = plan.dataset(failed.dataset).class_count
    state, finetuning = start_finetuning(plan, class_count, device, precision)
    return state.network, finetuning


def _odd_inputs(failed: FailedStep) -> dict[str, tuple[str, ...]]:
    batch, odd = failed.batch, {}
    for name, tensor in batch.tensors.items():
        bad = [index for index, sample in enumerate(tensor) if not torch.isfinite(sample.float()).all()]
        if bad:
            per_sample = max(1, len(batch.cases) // len(tensor))
            odd[name] = tuple(
                case for index in bad for case in batch.cases[index * per_sample : (index + 1) * per_sample]
            )
    return odd


def _not_finite(tensors: dict[str, Tensor]) -> tuple[str, ...]:
    return tuple(name for name, tensor in tensors.items() if not torch.isfinite(tensor).all())


def listed(names: tuple[str, ...]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
