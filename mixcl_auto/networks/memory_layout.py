"""Channels-last maps: a voxel's channels lie side by side, as convolutions on CPUs want them."""

import torch
from torch import Tensor


def is_channels_last(maps: Tensor) -> bool:
    """Whether maps (B, C, X, Y, Z) are channels-last, unlike maps of one channel, which are both."""
    return not maps.is_contiguous() and maps.is_contiguous(memory_format=torch.channels_last_3d)
