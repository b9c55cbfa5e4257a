"""What this machine offers to the process."""

from pathlib import Path

from mixcl_auto.engines.cores import available_cores, physical_cores
from mixcl_auto.records.machine import Accelerator, Machine


def describe_machine() -> Machine:
    """Cores, memory and GPUs that this process may use. Imports torch."""
    return Machine(
        cores=available_cores(),
        physical_cores=physical_cores(),
        memory_gb=memory_gb(),
        accelerators=accelerators(),
    )


def accelerators() -> tuple[Accelerator, ...]:
    """The CUDA devices."""
    import torch

    if not torch.cuda.is_available():
        return ()
    devices = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return tuple(Accelerator(name=device.name, memory_gb=device.total_memory / 2**30) for device in devices)


def memory_gb(
    meminfo: Path = Path("/proc/meminfo"), control_group: Path = Path("/sys/fs/cgroup")
) -> float | None:
    """The machine's memory in GiB, lowered to the limit of the process's control group; absent if unknown."""
    found = [*_machine_bytes(meminfo), *_control_group_bytes(control_group)]
    return min(found) / 2**30 if found else None


def _machine_bytes(meminfo: Path) -> list[int]:
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return []
    return [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:")]


def _control_group_bytes(root: Path) -> list[int]:
    """The limit of version 2, or of version 1 (where "no limit" is a huge number, harmless to a minimum)."""
    found = []
    for path in (root / "memory.max", root / "memory" / "memory.limit_in_bytes"):
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        if text.isdecimal():
            found.append(int(text))
    return found
