"""What fits a device's memory: the batch, and where not even one sample does, a smaller patch.

Steps are measured where an estimate comes near the limit; one GB is 2^30 bytes throughout.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from mixcl_auto.errors import PlanError
from mixcl_auto.planning.rules import Choice, Triple
from mixcl_auto.records.machine import Machine
from mixcl_auto.records.plan import NetworkPlan, Plan

Patch = tuple[int, int, int]

_USABLE_SHARE = 0.8
"""Of the memory; the rest is for the loader, the system and what a step leaves out (checkpoints)."""
_WELL_BELOW = 0.5
"""An estimate of at most this share of the usable memory needs no measurement."""
_LEAST_GROWTH = 0.4
"""Of the estimated growth: a little less than what bf16 takes of float32."""
_SIDE_STEP, _LEAST_SIDE = 16, 32
_GB = 2**30
_LIBRARIES_GB = 0.9
_BYTES_PER_PARAMETER = 16
"""Weight, gradient and AdamW's two moments, in float32."""
_BYTES_PER_FEATURE = {"pretrain": 420.0, "finetune": 95.0}
"""Peak growth per sample, voxel and channel of level 0, in float32: a MixCL pair with its three views; a
fine-tuning patch."""
_BYTES_PER_CLASS = {"pretrain": 0.0, "finetune": 24.0}
"""Peak growth per sample, voxel and output channel: logits, their softmax and the gradients of both."""


class Measure(Protocol):
    """Takes a real training step and says what memory it took."""

    def __call__(self, plan: Plan, section: str, batch_size: int, limit_gb: float) -> float | None:
        """Measure the peak memory of a process that trains.

        Args:
            plan: network and trainers.
            section: ``pretrain`` or ``finetune``.
            batch_size: samples at once.
            limit_gb: where to stop the step.

        Returns:
            GB; infinite if the step was stopped; absent if so much is not free here, so that nobody knows.
        """


@dataclass(frozen=True)
class Budget:
    """The memory to plan for, in GB, and whose it is."""

    memory_gb: float
    owner: str

    @property
    def usable_gb(self) -> float:
        """What a training process may take."""
        return _USABLE_SHARE * self.memory_gb

    def __str__(self) -> str:
        return f"{_USABLE_SHARE:.0%} of {self.memory_gb:.1f} GB ({self.owner}) are used at most"


@dataclass(frozen=True)
class Need:
    """Peak memory of a training process, which grows linearly with the batch.

    Attributes:
        at_1_gb: with one sample.
        growth_gb: of every further one.
        how: in words.
    """

    at_1_gb: float
    growth_gb: float
    how: str

    def gb(self, batch_size: int) -> float:
        """With so many samples."""
        return self.at_1_gb + (batch_size - 1) * self.growth_gb if batch_size > 1 else self.at_1_gb


@dataclass
class StepMemory:
    """What training steps take; each is measured once.

    Attributes:
        budget: what there is.
        measure: takes a step; everything is estimated where absent.
    """

    budget: Budget
    measure: Measure | None = None
    _measured: dict[tuple[Patch, str, int, bool], float | None] = field(default_factory=dict)

    def need(self, plan: Plan, section: str, batch_size: int) -> Need:
        """What batches of up to ``batch_size`` samples take: estimated if that is far below the budget."""
        estimate = estimated_need(plan, section, batch_size)
        if estimate.gb(batch_size) <= _WELL_BELOW * self.budget.usable_gb:
            return replace(estimate, how=f"{estimate.how}, far below the limit")
        at_1_gb = self._measure(plan, section, 1)
        if at_1_gb is None:
            return replace(estimate, how=f"{estimate.how}, not measured")
        if batch_size == 1 or at_1_gb > self.budget.usable_gb:
            return Need(at_1_gb, 0.0, f"measured {self._text(at_1_gb)} at batch 1")
        at_2_gb = self._measure(plan, section, 2)
        if at_2_gb is None:
            how = (
                f"measured {at_1_gb:.1f} GB at batch 1, estimated {estimate.growth_gb:.1f} GB per further one"
            )
            return Need(at_1_gb, estimate.growth_gb, how)
        how = f"measured {at_1_gb:.1f} GB at batch 1, {self._text(at_2_gb)} at 2"
        # The growth of a small step is hidden by noise.
        growth_gb = max(at_2_gb - at_1_gb, _LEAST_GROWTH * estimate.growth_gb)
        return Need(at_1_gb, growth_gb, how)

    def fits(self, plan: Plan, section: str, batch_size: int = 1) -> bool:
        """Whether a batch stays within the budget."""
        return self.need(plan, section, batch_size).gb(batch_size) <= self.budget.usable_gb

    def _measure(self, plan: Plan, section: str, batch_size: int) -> float | None:
        """In tenths of a GB, upwards, so that the same machine gives the same plan."""
        key = (plan.network.patch_size, section, batch_size, plan.pretrain.recompute_level_0)
        if self.measure is None:
            return None
        if key not in self._measured:
            found = self.measure(plan, section, batch_size, self.budget.memory_gb)
            rounded = found if found is None or math.isinf(found) else math.ceil(found * 10) / 10
            self._measured[key] = rounded
        return self._measured[key]

    def _text(self, gb: float) -> str:
        return f"more than {self.budget.memory_gb:.1f} GB" if math.isinf(gb) else f"{gb:.1f} GB"


def choose_budget(machine: Machine, request_gb: float | None) -> Budget | None:
    """The memory that the user asks for, or of the smallest GPU, or of the machine; absent if unknown.

    Raises:
        PlanError: if the user's is no number above 0.
    """
    if request_gb is not None:
        return Budget(check_memory(request_gb), "--memory-gb")
    if machine.accelerators:
        return Budget(min(gpu.memory_gb for gpu in machine.accelerators), "the smallest GPU")
    return None if machine.memory_gb is None else Budget(machine.memory_gb, "this machine")


def check_memory(gb: float) -> float:
    """The memory that a user asks for.

    Raises:
        PlanError: if it is no number above 0.
    """
    if not (math.isfinite(gb) and gb > 0):
        raise PlanError(f"--memory-gb takes a number of GB above 0, got {gb:g}")
    return gb


def choose_recomputing(plan: Plan, memory: StepMemory) -> Choice:
    """Whether level 0's projector is computed twice: only where the plan's batch does not fit otherwise."""
    size = plan.pretrain.batch_size
    need = memory.need(plan, "pretrain", size)
    if need.gb(size) <= memory.budget.usable_gb:
        return Choice(False, "preset", f"the memory holds the plan's batch; {need.how}; {memory.budget}")
    return Choice(True, "the memory is short", f"{need.how}; {memory.budget}")


def shrink_patch(plan: Plan, sections: Sequence[str], memory: StepMemory) -> Choice | None:
    """The largest patch whose steps fit with one sample; absent if the plan's own does.

    Sides become shorter by 16 voxels, each time that which reaches furthest in mm, down to 32. The search
    begins where the estimate would end it: steps of a large network take a minute on a CPU.

    Args:
        plan: with the patch to begin with.
        sections: trainers that will run.
        memory: what steps take.

    Raises:
        PlanError: if not even the smallest fits; the message says how much memory it needs.
    """
    patches = [plan.network.patch_size, *smaller_patches(plan.network.patch_size, plan.preprocess.spacing_mm)]

    def fits(index: int, known: StepMemory = memory) -> bool:
        return all(known.fits(with_patch(plan, patches[index]), section) for section in sections)

    estimates, last = StepMemory(memory.budget), len(patches) - 1
    found = next((index for index in range(last) if fits(index, estimates)), last)
    while found < last and not fits(found):
        found += 1
    if not fits(found):
        raise PlanError(_too_small(with_patch(plan, patches[-1]), sections, memory))
    while found > 0 and fits(found - 1):
        found -= 1
    if found == 0:
        return None
    fitting = with_patch(plan, patches[found])
    steps = "; ".join(f"{section}: {memory.need(fitting, section, 1).how}" for section in sections)
    rule = f"shrunk from {_text(patches[0])} in steps of 16 to fit the memory"
    return Choice(patches[found], rule, f"{steps}; {memory.budget}")


def choose_batch_size(plan: Plan, section: str, memory: StepMemory) -> Choice:
    """The plan's batch, or the largest that fits the memory, at least 1.

    Args:
        plan: with the batch to begin with.
        section: ``pretrain`` or ``finetune``.
        memory: what steps take.
    """
    preset: int = getattr(plan, section).batch_size
    need = memory.need(plan, section, preset)
    fitting = (size for size in range(preset, 1, -1) if need.gb(size) <= memory.budget.usable_gb)
    value = next(fitting, 1)
    rule = "preset" if value == preset else f"lowered from the preset's {preset} to fit the memory"
    return Choice(value, rule, f"global, split over the processes; {need.how}; {memory.budget}")


def smaller_patches(patch: Patch, spacing_mm: Triple) -> Iterator[Patch]:
    """Ever smaller patches: one step of 16 voxels off the side that reaches furthest in mm, down to 32."""
    while True:
        reach_mm = [
            side * step if side > _LEAST_SIDE else 0.0 for side, step in zip(patch, spacing_mm, strict=True)
        ]
        if not any(reach_mm):
            return
        axis = reach_mm.index(max(reach_mm))
        x, y, z = (side - _SIDE_STEP * (index == axis) for index, side in enumerate(patch))
        patch = (x, y, z)
        yield patch


def estimated_need(plan: Plan, section: str, batch_size: int) -> Need:
    """Estimate the peak memory of a process that trains in float32, rather too high than too low."""
    network = plan.network
    datasets = plan.pool if section == "pretrain" else plan.targets
    classes = max((dataset.class_count for dataset in datasets), default=2)
    per_voxel = network.feature_size * _BYTES_PER_FEATURE[section] + classes * _BYTES_PER_CLASS[section]
    growth_gb = math.prod(network.patch_size) * per_voxel / _GB
    fixed_gb = _LIBRARIES_GB + _parameters(network) * _BYTES_PER_PARAMETER / _GB
    total_gb = fixed_gb + batch_size * growth_gb
    return Need(fixed_gb + growth_gb, growth_gb, f"estimated {total_gb:.1f} GB at batch {batch_size}")


def memory_warning(plan: Plan, section: str, memory: StepMemory) -> str | None:
    """What to say of a batch that does not fit: that of a user who has set batch or patch."""
    size: int = getattr(plan, section).batch_size
    need = memory.need(plan, section, size)
    gb = need.gb(size)
    if gb <= memory.budget.usable_gb:
        return None
    takes = f"would take some {gb:.1f} GB" if math.isfinite(gb) else "would not fit the memory"
    return (
        f"{section}: a batch of {size} with patches of {_text(plan.network.patch_size)} {takes} ({need.how}; "
        f"{memory.budget}); lower {section}.batch_size or network.patch_size, or use a larger device"
    )


def with_patch(plan: Plan, patch: Patch) -> Plan:
    """The plan with another patch size."""
    network = plan.network.model_copy(update={"patch_size": patch})
    return plan.model_copy(update={"network": network})


def _too_small(plan: Plan, sections: Sequence[str], memory: StepMemory) -> str:
    needs = {section: memory.need(plan, section, 1) for section in sections}
    section, need = max(needs.items(), key=lambda item: item[1].at_1_gb)
    gb = need.at_1_gb if math.isfinite(need.at_1_gb) else estimated_need(plan, section, 1).at_1_gb
    return (
        f"the device's memory is too small for the network: a {section} step takes {gb:.1f} GB with one "
        f"sample and the smallest patch, {_text(plan.network.patch_size)} ({need.how}); {memory.budget}. Use "
        f"a device with at least {math.ceil(gb / _USABLE_SHARE * 10) / 10:.1f} GB (--memory-gb plans for "
        "another than this one), or a smaller network: --preset tiny, or --set network.feature_size and "
        "network.hidden_size"
    )


def _text(patch: Patch) -> str:
    return " x ".join(map(str, patch))


def _parameters(network: NetworkPlan) -> float:
    """UNETR's parameters, roughly: transformer blocks, convolutions on their tokens, and all others."""
    hidden, mlp, feature = network.hidden_size, network.mlp_size, network.feature_size
    return network.layers * (4 * hidden**2 + 2 * hidden * mlp) + 400 * hidden * feature + 7000 * feature**2
