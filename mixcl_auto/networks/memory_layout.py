"""Channels-last maps: a voxel's channels lie side by side, as convolutions on CPUs want them."""

import torch
from torch import Tensor


def is_channels_last(maps: Tensor) -> bool:
    """Whether maps (B, C, X, Y, Z) are channels-last, and not in both orders at once as maps of one channel."""
    return not maps.is_contiguous() and maps.is_contiguous(memory_format=torch.channels_last_3d)
