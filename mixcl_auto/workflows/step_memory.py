"""Measure the memory of one training step, in a process of its own.

Light to import: torch and the trainers are loaded in that process.
"""

import logging
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mixcl_auto.engines.process_pool import run_tasks
from mixcl_auto.errors import RunError
from mixcl_auto.planning.memory import Measure
from mixcl_auto.progress import Progress
from mixcl_auto.records.plan import Plan
from mixcl_auto.training.out_of_memory import is_out_of_memory

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

_GB = 2**30
_CUDA_CONTEXT_GB = 0.5
"""Kernels and the driver's own buffers, which torch's allocator does not see."""
_REST_OF_RUN_GB = 0.2
"""What runs of phantoms held beyond such a step on a CPU: loader, compiled kernels, prediction, figures."""


@dataclass(frozen=True)
class Step:
    """One training step to measure; see ``Measure``."""

    plan: Plan
    section: str
    batch_size: int
    limit_gb: float

    def __str__(self) -> str:
        patch = " x ".join(map(str, self.plan.network.patch_size))
        return f"Measuring the memory of a {self.section} step, {patch}, batch {self.batch_size}"


def step_measure(progress: Progress | None = None) -> Measure:
    """What measures steps on the first GPU, or on the CPU, each in a fresh process.

    Args:
        progress: told of every step; on a CPU a step of the full network takes a minute.
    """

    def measure(plan: Plan, section: str, batch_size: int, limit_gb: float) -> float | None:
        step = Step(plan, section, batch_size, limit_gb)
        # Two jobs, or the one task would run in this process, whose own memory counts.
        (outcome,) = run_tasks(
            limited_peak_gb, [step], jobs=2, name=lambda _: section, description=str(step), progress=progress
        )
        if isinstance(outcome.error, RunError):  # killed
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
    from mixcl_auto.training.device import choose_device
    from mixcl_auto.workflows.random_step import take_random_step

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


def peak_memory_gb(device: "torch.device") -> float | None:
    """The most memory that a run of such steps would hold, from what this process held; absent if unknown.

    On a CPU that is all that was resident; on a GPU what torch allocated there.
    """
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device) / _GB + _CUDA_CONTEXT_GB
    # VmHWM begins anew in a spawned process; ru_maxrss, on Linux, at what its parent held.
    if (peak_kb := _proc_kb("self/status", "VmHWM:")) is not None:
        return peak_kb * 1024 / _GB + _REST_OF_RUN_GB
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _GB + _REST_OF_RUN_GB
    return None


def free_memory_gb(device: "torch.device") -> float:
    """The memory that a process could still take on the device; infinite if unknown."""
    if device.type == "cuda":
        import torch

        return torch.cuda.mem_get_info(device)[0] / _GB
    free_kb = _proc_kb("meminfo", "MemAvailable:")
    return math.inf if free_kb is None else free_kb * 1024 / _GB


def limit_memory(device: "torch.device", limit_gb: float) -> None:
    """Make allocations beyond a limit fail in this process, where the system can do so."""
    if device.type == "cuda":
        import torch

        total_gb = torch.cuda.get_device_properties(device).total_memory / _GB
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit_gb / total_gb), device)
    elif sys.platform == "linux":
        import resource

        limit, hardest = int(limit_gb * _GB), resource.getrlimit(resource.RLIMIT_DATA)[1]
        limit = limit if hardest == resource.RLIM_INFINITY else min(limit, hardest)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hardest))


def _proc_kb(file: str, key: str) -> int | None:
    """A number of kB that Linux tells of a process or the machine."""
    try:
        lines = Path("/proc", file).read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(key)), None)
