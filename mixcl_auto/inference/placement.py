"""Where a network computes and where its windows are summed, and what to try when memory runs out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from mixcl_auto.training.out_of_memory import is_out_of_memory

Result = TypeVar("Result")


@dataclass(frozen=True)
class Placement:
    """How a scan is predicted; the labels are the same in all ways, up to rounding."""

    device: torch.device
    """Where the network computes."""
    windows_per_batch: int
    blend_on_cpu: bool = False
    """Whether the windows are summed in the CPU's memory."""

    def smaller(self) -> "Placement | None":
        """What needs less memory of the device: half the windows at once, sums elsewhere, then the CPU."""
        if self.windows_per_batch > 1:
            return replace(self, windows_per_batch=self.windows_per_batch // 2)
        if self.device.type == "cpu":
            return None
        if not self.blend_on_cpu:
            return replace(self, blend_on_cpu=True)
        return Placement(torch.device("cpu"), 1, blend_on_cpu=True)

    def __str__(self) -> str:
        windows = "1 window" if self.windows_per_batch == 1 else f"{self.windows_per_batch} windows"
        sums = " and the sums on the CPU" if self.blend_on_cpu and self.device.type != "cpu" else ""
        return f"{windows} at a time on {self.device}{sums}"


def unless_out_of_memory(work: Callable[[], Result]) -> Result | None:
    """The result of a computation, or None where the device's memory did not suffice for it.

    When this returns None, what the computation had allocated is free again.
    """
    try:
        return work()
    except (MemoryError, RuntimeError) as problem:
        if not is_out_of_memory(problem):
            raise
    # Only here, when the exception is gone, nothing refers to the computation's tensors any more.
    torch.cuda.empty_cache()
    return None
