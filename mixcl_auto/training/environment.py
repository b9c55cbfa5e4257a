"""The software and the machine of a run, for its record."""

import platform

import torch

from mixcl_auto import __version__
from mixcl_auto.records.run import Environment


def describe_environment(
    device: torch.device, precision: str, threads: int, processes: int = 1
) -> Environment:
    """Record what a run computes with.

    Args:
        device: where the network is.
        precision: as resolved for that device.
        threads: CPU threads of each process.
        processes: that train together.
    """
    return Environment(
        mixcl_auto=__version__,
        torch=str(torch.__version__),
        python=platform.python_version(),
        device=f"{device} ({device_name(device)})",
        precision=precision,
        threads=threads,
        processes=processes,
    )


def device_name(device: torch.device) -> str:
    """The maker's name of a device, as far as torch knows it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    read = getattr(torch.cpu, "get_capabilities", None)
    name = read().get("cpu_name") if read is not None else None
    return str(name or platform.machine())
