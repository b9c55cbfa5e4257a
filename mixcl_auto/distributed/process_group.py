"""The process group of a data-parallel training: opened by all its processes, closed whatever happens."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mixcl_auto.distributed.launch import Launch
from mixcl_auto.distributed.ranks import ALONE, Ranks
from mixcl_auto.errors import RunError

LONGEST_WAIT = timedelta(minutes=30)
"""For the slowest process: it may be reading a large checkpoint, or compiling."""

_LOST = re.compile(
    r"gloo|nccl|connection (closed|reset)|broken pipe|socket|timed out|TCPStore", re.IGNORECASE
)


@contextmanager
def open_ranks(launch: Launch, device: torch.device, *, backend: str | None = None) -> Iterator[Ranks]:
    """Join the other processes of the launch; leave them at the end, or when this one fails.

    Args:
        launch: of this process.
        device: that it trains on.
        backend: of torch.distributed; NCCL for GPUs and Gloo for CPUs if absent.

    Raises:
        RunError: if the others can't be reached, or are lost on the way.
    """
    if launch.count == 1:
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with _explaining_lost_processes(), warnings.catch_warnings():
        # Gradients of 1x1x1 convolutions have other strides than the weights; copying these few is nothing.
        warnings.filterwarnings("ignore", message="Grad strides do not match")
        chosen = backend or ("nccl" if device.type == "cuda" else "gloo")
        try:
            dist.init_process_group(chosen, timeout=LONGEST_WAIT)
            yield Ranks(launch.rank, launch.count, launch.local_count)
        except BaseException:
            # NCCL would wait for the others, who may be waiting for this process; its end frees them all.
            if chosen != "nccl" and dist.is_initialized():
                dist.destroy_process_group()
            raise
        dist.destroy_process_group()


def data_parallel(network: nn.Module, ranks: Ranks) -> nn.Module:
    """A network whose gradients are averaged over the processes during the backward pass.

    It has the first process's weights from the start. A process alone gets the network itself; the network's
    own names and state stay as they are in any case.

    Args:
        network: on its device; each of its parameters that learns gets a gradient in every step.
        ranks: the processes.
    """
    if ranks.count == 1:
        return network
    return DistributedDataParallel(network, gradient_as_bucket_view=True)


@contextmanager
def _explaining_lost_processes() -> Iterator[None]:
    """Turn what a collective raises when a process is gone into a message for the user."""
    try:
        yield
    except RuntimeError as problem:  # DistBackendError and DistNetworkError are among them
        if not (isinstance(problem, dist.DistError) or _LOST.search(str(problem))):
            raise
        reason = " ".join(str(problem).split())[:200]
        raise RunError(
            "the other processes are lost: one of them failed or was killed, and its message or torchrun's "
            f"says why. Run the same command again to go on from the last checkpoint. (Seen here: {reason})"
        ) from problem
