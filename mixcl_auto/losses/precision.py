"""Where the losses compute: outside autocast, in float32 or wider."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor


def without_autocast(tensor: Tensor) -> AbstractContextManager[object]:
    """Switch autocast off on the device of ``tensor``.

    In bfloat16 the term (1 - C_ii)^2 of Eq. 4 is wrong by more than half, and float16 overflows.
    """
    return torch.autocast(device_type=tensor.device.type, enabled=False)


def widen(tensor: Tensor) -> Tensor:
    """Half precision becomes float32; float32 and float64 come back as they are."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()
