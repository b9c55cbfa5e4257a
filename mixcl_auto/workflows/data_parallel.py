"""The processes and devices of a training, one or several."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mixcl_auto.distributed.launch import read_launch
from mixcl_auto.distributed.process_group import open_ranks
from mixcl_auto.distributed.ranks import Ranks
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
