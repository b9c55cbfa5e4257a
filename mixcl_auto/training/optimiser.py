"""AdamW, and a learning rate that is a function of the step alone."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

_RATE_FACTOR = "rate_factor"
"""Key of a parameter group: what its rate is multiplied by."""


def make_optimiser(
    parameters: Iterable[Parameter],
    *,
    learning_rate: float,
    weight_decay: float,
    careful: Sequence[Parameter] = (),
    careful_factor: float = 1.0,
) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019) over the parameters that learn; frozen ones are left out.

    The fused kernel does all parameters in one pass: 67 ms against 331 for 92.8 M of them on a CPU.

    Args:
        parameters: of the network.
        learning_rate: of the first step.
        weight_decay: AdamW's.
        careful: those of ``parameters`` that learn at another rate, such as pre-trained ones.
        careful_factor: theirs over ``learning_rate``.
    """
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    groups: list[dict[str, Any]] = [{"params": learning}]
    if careful and careful_factor != 1:
        chosen = {id(parameter) for parameter in careful}
        groups = [
            {"params": [parameter for parameter in learning if id(parameter) not in chosen]},
            {
                "params": [parameter for parameter in learning if id(parameter) in chosen],
                _RATE_FACTOR: careful_factor,
            },
        ]
    optimiser = torch.optim.AdamW(groups, lr=learning_rate, weight_decay=weight_decay, fused=True)
    set_learning_rate(optimiser, learning_rate)
    return optimiser


def learning_rate(step: int, *, peak: float, steps: int, warmup_steps: int = 0) -> float:
    """The rate of one step: a linear warm-up to the peak, then a cosine to zero (Loshchilov & Hutter 2017).

    Warm-up: peak * (step + 1) / warmup_steps. After it, with p the share of the remaining steps that are
    done: peak / 2 * (1 + cos(pi * p)). The step after the last would have the rate 0.

    Args:
        step: counted from 0.
        peak: the plan's learning rate.
        steps: of the whole run.
        warmup_steps: of the warm-up; 0 starts at the peak.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    share_done = (step - warmup_steps) / max(1, steps - warmup_steps)
    return 0.5 * peak * (1.0 + math.cos(math.pi * share_done))


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give all parameter groups this rate, times their factor; no scheduler's state could be lost."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get(_RATE_FACTOR, 1.0)


def gradient_norm(parameters: Iterable[Parameter], *, clip_norm: float | None = None) -> Tensor:
    """Measure the Euclidean norm of all gradients together, then clip them to ``clip_norm`` where given.

    Returns:
        A 0-d tensor on the parameters' device; nothing waits for it.
    """
    learning = [parameter for parameter in parameters if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm(
        [parameter.grad for parameter in learning if parameter.grad is not None]
    )
    if clip_norm is not None:
        torch.nn.utils.clip_grads_with_norm_(learning, clip_norm, norm)
    return norm
