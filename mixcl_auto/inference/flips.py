"""Test-time augmentation: the mean of what a network says of a window and of its flips."""

import itertools
import re
from collections.abc import Callable

import torch
from torch import Tensor

from mixcl_auto.errors import RunError
from mixcl_auto.io.segment_codes import SIDES
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.plan_edits import edit_plan

_AXES = "xyz"
_FIRST_SPATIAL = 2
"""Of a tensor (B, C, X, Y, Z)."""


class FlippedMean:
    """A network whose logits are averaged over all flips along some axes, each turned back.

    Args:
        network: from (B, 1, X, Y, Z) to logits (B, classes, X, Y, Z).
        flips: the axes, such as ``xz``; n of them are 2^n passes.
    """

    def __init__(self, network: Callable[[Tensor], Tensor], flips: str) -> None:
        self._network = network
        axes = [_AXES.index(axis) + _FIRST_SPATIAL for axis in flips]
        self.combinations = [
            chosen for count in range(len(axes) + 1) for chosen in itertools.combinations(axes, count)
        ]

    def __call__(self, batch: Tensor) -> Tensor:
        """The mean logits, in float32."""
        total = self._network(batch).float()
        for dims in self.combinations[1:]:
            total = total + torch.flip(self._network(torch.flip(batch, dims)), dims).float()
        return total / len(self.combinations)


def with_flips(plan: Plan, dataset: str, flips: str | None) -> Plan:
    """The plan with other flips, where some are given; its own are checked as well.

    Args:
        plan: of a run.
        dataset: the run's target.
        flips: axes such as ``yz``, an empty text for none; the plan's if absent.

    Raises:
        RunError: if the run's networks can't be averaged over these flips.
        PlanError: if ``flips`` names other axes than x, y and z, each once and in this order.
    """
    wanted = plan.inference.flips if flips is None else flips
    if wanted:
        _refuse_unlearnt(plan, wanted)
        _refuse_sides(plan, dataset, wanted)
    return plan if wanted == plan.inference.flips else edit_plan(plan, [f'inference.flips="{wanted}"'])


def has_side(organ: str) -> bool:
    """Whether a name says left or right: ``kidney right``, ``Parotid_L``, ``leftLung``."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", organ)
    return any(word in SIDES for word in re.findall(r"[^\W_]+", spaced.lower()))


def _refuse_unlearnt(plan: Plan, flips: str) -> None:
    if plan.finetune.flip_probability == 0:
        raise RunError(
            f"flips along {flips}: this model was fine-tuned without flips (finetune.flip_probability is 0), "
            "so it does not know flipped scans; predict without flips"
        )


def _refuse_sides(plan: Plan, dataset: str, flips: str) -> None:
    sided = [organ for organ in plan.dataset(dataset).labels if has_side(organ)]
    if "x" in flips and sided:
        others = flips.replace("x", "")
        instead = f"use flips along {others}" if others else "predict without it"
        raise RunError(
            f"flips along {flips}: a flip along x makes left of right, and {dataset} has {', '.join(sided)}; "
            f"{instead}"
        )
