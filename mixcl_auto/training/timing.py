"""``timing.csv``: how fast a run goes, and whether it waits for its loader."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from mixcl_auto.training.run_log import StepTable


class Timing:
    """Rates over some steps at a time.

    Columns: ``seconds`` per step, ``samples_per_second``, ``waiting_share``: the share of the time spent on
        waiting for the loader (on a GPU an upper bound: the device may still have work meanwhile), and
        ``peak_memory_mb`` of the device, or of this process on a CPU.
    """

    def __init__(self, path: Path, *, batch_size: int, device: torch.device, writes: bool = True) -> None:
        self.table = StepTable(path, writes=writes)
        self._batch_size = batch_size
        self._device = device
        self._restart()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time inside as waiting."""
        start = time.perf_counter()
        yield
        self._waited += time.perf_counter() - start

    def count_step(self) -> None:
        """A step is done."""
        self._steps += 1

    def write(self, step: int) -> None:
        """Write the rates since the last row, if any step was done, and start anew."""
        if not self._steps:
            return
        seconds = time.perf_counter() - self._start
        row = {
            "step": step,
            "seconds": seconds / self._steps,
            "samples_per_second": self._steps * self._batch_size / seconds,
            "waiting_share": self._waited / seconds,
            "peak_memory_mb": peak_memory_mb(self._device),
        }
        self.table.append([row])
        self._restart()

    def _restart(self) -> None:
        self._start = time.perf_counter()
        self._waited = 0.0
        self._steps = 0


def peak_memory_mb(device: torch.device) -> float:
    """The most memory used so far: that of torch on a GPU, that of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    # Linux counts in kB, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
