"""What of this machine is free: threads, numbers of tasks, and shares of its devices."""

import math
from collections.abc import Sequence

from mixcl_auto.engines.engine import Resources
from mixcl_auto.errors import RunError

_ROUNDING = 1e-6


class Slots:
    """Gives resources of one machine out and takes them back."""

    def __init__(self, cores: int, jobs: int | None = None, devices: Sequence[str] = ()) -> None:
        """All free.

        Args:
            cores: for the threads of all tasks together.
            jobs: tasks at once at most; no limit but the others', if absent.
            devices: ids as in ``CUDA_VISIBLE_DEVICES``.
        """
        self._cores, self._jobs = cores, jobs
        self._running = 0
        self._free_cpus = cores
        self._free = dict.fromkeys(devices, 1.0)

    def capacity(self, resources: Resources) -> int:
        """How many such tasks run at once; one with more threads than there are cores runs alone.

        Raises:
            RunError: if there are too few devices, or if so many can't be asked for.
        """
        limits = [max(1, self._cores // max(1, resources.cpus))]
        limits += [] if self._jobs is None else [self._jobs]
        if resources.gpus > 0:
            limits.append(self._on_devices(resources.gpus))
        return min(limits)

    def take(self, resources: Resources) -> tuple[str, ...] | None:
        """The devices of a task that may start now, none if it needs none; absent if it has to wait."""
        if self._running and not self._fits(resources):
            return None
        devices = self._free_devices(resources.gpus)
        if devices is None:
            return None
        for device in devices:
            self._free[device] -= min(resources.gpus, 1.0)
        self._running += 1
        self._free_cpus -= resources.cpus
        return devices

    def give_back(self, resources: Resources, devices: tuple[str, ...]) -> None:
        """Free what ``take`` gave."""
        for device in devices:
            self._free[device] += min(resources.gpus, 1.0)
        self._running -= 1
        self._free_cpus += resources.cpus

    def _fits(self, resources: Resources) -> bool:
        return resources.cpus <= self._free_cpus and (self._jobs is None or self._running < self._jobs)

    def _free_devices(self, gpus: float) -> tuple[str, ...] | None:
        """The freest devices: tasks that take a fraction are spread before they share."""
        share, count = min(gpus, 1.0), math.ceil(gpus)
        free = [device for device, left in self._free.items() if left >= share - _ROUNDING]
        freest = sorted(free, key=lambda device: -self._free[device])[:count]
        return tuple(freest) if len(freest) == count else None

    def _on_devices(self, gpus: float) -> int:
        if gpus > 1 and gpus != int(gpus):
            raise RunError(f"a task can't take {gpus:g} GPUs; give a fraction below 1, or a whole number")
        there = len(self._free)
        at_once = int(there // gpus) if gpus >= 1 else there * int(1 / gpus + _ROUNDING)
        if at_once == 0:
            raise RunError(
                f"a task takes {gpus:g} GPUs and this machine offers {there}; ask for fewer, or run on a "
                "machine that has them"
            )
        return at_once
