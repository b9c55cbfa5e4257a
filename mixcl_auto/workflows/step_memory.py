"""Measure the memory of one training step, in a process of its own, as pre-training and fine-tuning do it."""

import logging
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from mixcl_auto.engines.process_pool import run_tasks
from mixcl_auto.errors import RunError
from mixcl_auto.finetuning.objective import SegmentationObjective
from mixcl_auto.networks.initialise import initialise
from mixcl_auto.planning.memory import Measure
from mixcl_auto.pretraining.objective import MixCLObjective, mixcl_settings
from mixcl_auto.pretraining.pretrain import build_mixcl_network
from mixcl_auto.progress import Progress
from mixcl_auto.records.plan import Plan, TrainerPlan
from mixcl_auto.training.device import Precision, choose_device, limited_threads, resolve_precision
from mixcl_auto.training.loop import Objective, take_step
from mixcl_auto.training.networks import IMAGE_CHANNELS, build_network
from mixcl_auto.training.samples import Batch
from mixcl_auto.training.state import TrainingState, start_state

logger = logging.getLogger(__name__)

_GB = 2**30
_CUDA_CONTEXT_GB = 0.5
"""Kernels and the driver's own buffers, which torch's allocator does not see."""
_OUT_OF_MEMORY = ("alloc", "out of memory", "could not create a", "cannot create a")
"""Of torch, CUDA and oneDNN."""


@dataclass(frozen=True)
class Step:
    """One training step to measure; see ``Measure``."""

    plan: Plan
    section: str
    batch_size: int
    limit_gb: float

    def __str__(self) -> str:
        patch = " x ".join(map(str, self.plan.network.patch_size))
        return f"memory of a {self.section} step, {patch}, batch {self.batch_size}"


def step_measure(progress: Progress | None = None) -> Measure:
    """What measures steps on the first GPU, or on the CPU, each in a fresh process.

    Args:
        progress: told of every step; on a CPU a step of the full network takes a minute.
    """

    def measure(plan: Plan, section: str, batch_size: int, limit_gb: float) -> float | None:
        step = Step(plan, section, batch_size, limit_gb)
        # Two jobs, or the one task would run in this process, whose own memory counts.
        (outcome,) = run_tasks(limited_peak_gb, [step], jobs=2, description=str(step), progress=progress)
        if isinstance(outcome.error, RunError):  # killed, or a precision that only the target device has
            logger.warning("not measured, estimated instead: %s", outcome.error)
            return None
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    return measure


def limited_peak_gb(step: Step) -> float | None:
    """Take a step that is stopped at its limit, before it takes other processes' memory. For a fresh process.

    Returns:
        What ``Measure`` does.
    """
    device = choose_device()
    free_gb = free_memory_gb(device)
    limit_memory(device, min(step.limit_gb, free_gb))
    try:
        take_random_step(step.plan, step.section, step.batch_size, device)
    except (MemoryError, RuntimeError) as problem:
        if not is_out_of_memory(problem):
            raise
        return math.inf if step.limit_gb <= free_gb else None
    return peak_memory_gb(device)


def take_random_step(plan: Plan, section: str, batch_size: int, device: torch.device) -> None:
    """Take that step of a run which needs most, on random numbers.

    It has AdamW's moments, and measures the gradient's shares if the run ever does.
    """
    trainer: TrainerPlan = plan.pretrain if section == "pretrain" else plan.finetune
    precision = resolve_precision(trainer.precision, device, plan.network.patch_size)
    prepare = _pretraining if section == "pretrain" else _finetuning
    with limited_threads(trainer.threads):
        state, objective, batch = prepare(plan, batch_size, device, precision)
        _fill_optimiser(state)
        take_step(
            objective,
            state,
            batch,
            measure_gradients=trainer.gradient_every > 0,
            gradient_clip_norm=trainer.gradient_clip_norm,
        )


def peak_memory_gb(device: torch.device) -> float | None:
    """The most memory that this process has held, on a CPU all that was resident; absent if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / _GB + _CUDA_CONTEXT_GB
    # VmHWM begins anew in a spawned process; ru_maxrss, on Linux, at what its parent held.
    if (peak_kb := _proc_kb("self/status", "VmHWM:")) is not None:
        return peak_kb * 1024 / _GB
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _GB
    return None


def free_memory_gb(device: torch.device) -> float:
    """The memory that a process could still take on the device; infinite if unknown."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] / _GB
    free_kb = _proc_kb("meminfo", "MemAvailable:")
    return math.inf if free_kb is None else free_kb * 1024 / _GB


def limit_memory(device: torch.device, limit_gb: float) -> None:
    """Make allocations beyond a limit fail in this process, where the system can do so."""
    if device.type == "cuda":
        total_gb = torch.cuda.get_device_properties(device).total_memory / _GB
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit_gb / total_gb), device)
    elif sys.platform == "linux":
        import resource

        limit, hardest = int(limit_gb * _GB), resource.getrlimit(resource.RLIMIT_DATA)[1]
        limit = limit if hardest == resource.RLIM_INFINITY else min(limit, hardest)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hardest))


def is_out_of_memory(problem: BaseException) -> bool:
    """Whether an error of torch or Python says that memory was lacking."""
    if isinstance(problem, MemoryError | torch.OutOfMemoryError):
        return True
    return any(sign in str(problem).lower() for sign in _OUT_OF_MEMORY)


def _pretraining(
    plan: Plan, batch_size: int, device: torch.device, precision: Precision
) -> tuple[TrainingState, Objective, Batch]:
    section, patch = plan.pretrain, plan.network.patch_size
    network = initialise(lambda: build_mixcl_network(plan), section.seed)
    state = start_state(network, section, device=device, precision=precision)
    objective = MixCLObjective(
        network, mixcl_settings(section), device=device, precision=precision, scale=state.scaler.scale
    )
    classes = max((dataset.class_count for dataset in plan.pool), default=2)
    images = ("patch_1", "patch_2", "view_1", "view_1_prime", "view_2")
    grid = network.backbone.levels[section.label_level].grid
    tensors = {name: torch.rand(batch_size, IMAGE_CHANNELS, *patch) for name in images}
    tensors |= {
        name: torch.randint(classes, (batch_size, *grid), dtype=torch.uint8)
        for name in ("labels_1", "labels_2")
    }
    tensors |= {name: torch.rand(batch_size, *grid) for name in ("weights_1", "weights_2")}
    numbers = {"class_count": [classes] * batch_size, "voxel_seed": list(range(batch_size))}
    return state, objective, Batch(tensors, (), numbers).to(device)


def _finetuning(
    plan: Plan, batch_size: int, device: torch.device, precision: Precision
) -> tuple[TrainingState, Objective, Batch]:
    section, patch = plan.finetune, plan.network.patch_size
    classes = max((dataset.class_count for dataset in plan.targets), default=2)
    network = initialise(lambda: build_network(plan.network, out_channels=classes), section.seed)
    state = start_state(network, section, device=device, precision=precision)
    objective = SegmentationObjective(network, section, device=device, precision=precision)
    tensors = {
        "image": torch.rand(batch_size, IMAGE_CHANNELS, *patch),
        "labels": torch.randint(classes, (batch_size, *patch), dtype=torch.uint8),
    }
    return state, objective, Batch(tensors, (), {}).to(device)


def _fill_optimiser(state: TrainingState) -> None:
    """Give AdamW its moments, which a run has from the second step on, without taking a step for it."""
    for group in state.optimiser.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    state.optimiser.step()
    state.optimiser.zero_grad(set_to_none=True)


def _proc_kb(file: str, key: str) -> int | None:
    """A number of kB that Linux tells of a process or the machine."""
    try:
        lines = Path("/proc", file).read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(key)), None)
