"""The engine that a caller names."""

import os
from typing import Literal

from mixcl_auto.engines.cores import available_cores
from mixcl_auto.engines.engine import Engine
from mixcl_auto.engines.local import LocalEngine
from mixcl_auto.errors import RunError

EngineName = Literal["local", "ray"]


def open_engine(name: EngineName, *, jobs: int | None = None, address: str | None = None) -> Engine:
    """Open an engine; the caller closes it.

    Args:
        name: ``local``, programs on this machine; or ``ray``, on this machine or over a cluster.
        jobs: tasks at once at most; as many as cores and devices allow, if absent.
        address: of a running Ray cluster, ``host:port`` or ``auto``; absent for a Ray of this machine alone.

    Raises:
        RunError: if there is no such engine, if it can't be opened, or does not go with an address.
    """
    check_engine(name, address)
    if name == "local":
        return LocalEngine(cores=available_cores(), jobs=jobs, devices=visible_devices())
    from mixcl_auto.engines.ray_engine import RayEngine

    cores = available_cores() if address is None else None
    return RayEngine(address=address, cores=cores, jobs=jobs)


def check_engine(name: EngineName, address: str | None) -> None:
    """Check a wish before hours of work.

    Raises:
        RunError: if there is no such engine, or if it does not go with an address.
    """
    if name not in ("local", "ray"):
        raise RunError(f"there is no engine {name!r}; use local or ray")
    if name == "local" and address is not None:
        raise RunError(f"the engine local runs on this machine; leave out the address {address}, or use ray")


def visible_devices() -> tuple[str, ...]:
    """Ids of the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them. Imports torch."""
    import torch

    count = torch.cuda.device_count()
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    ids = map(str, range(count)) if listed is None else (part.strip() for part in listed.split(","))
    return tuple(ids)[:count]
