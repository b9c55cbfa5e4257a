"""Initial weights that a seed determines."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def initialise(builder: Callable[[], Network], seed: int) -> Network:
    """Build a network on the CPU with weights drawn from a seed, leaving the global generator as it was.

    The same builder and seed give the same weights in any process. Loading an encoder afterwards changes the
    encoder alone, so that an arm from scratch and a pre-trained arm differ in nothing else.

    Args:
        builder: makes the network; its layers draw from torch's global CPU generator.
        seed: any integer that torch takes as a seed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return builder()
