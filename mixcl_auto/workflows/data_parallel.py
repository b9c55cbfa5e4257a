"""The processes and devices of a training, one or several."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from mixcl_auto.distributed.launch import read_launch
from mixcl_auto.distributed.process_group import open_ranks
from mixcl_auto.distributed.ranks import Ranks
from mixcl_auto.io.run_lock import run_lock
from mixcl_auto.io.workspace import RunFolder
from mixcl_auto.training.device import choose_device


@contextmanager
def training_ranks(device: str | None) -> Iterator[tuple[Ranks, torch.device]]:
    """Join the processes that ``torchrun`` started, if it did, and choose this one's device.

    Args:
        device: as torch spells it; a GPU of its own per process, or the CPU where there is none, if absent.

    Raises:
        RunError: if there is no such device, or the other processes can't be reached or are lost.
    """
    launch = read_launch()
    chosen = choose_device(device, launch)
    with open_ranks(launch, chosen) as ranks:
        yield ranks, chosen


def group_lock(folder: RunFolder, patience_s: float) -> AbstractContextManager[None]:
    """The run's lock, which the first process takes for all.

    Args:
        folder: of the run.
        patience_s: see ``run_lock``.

    Raises:
        RunError: if processes of another command work on the run.
    """
    return run_lock(folder, patience_s=patience_s) if read_launch().rank == 0 else nullcontext()
