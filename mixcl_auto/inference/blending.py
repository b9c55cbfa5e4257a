"""The weighted mean of overlapping windows."""

import math

import numpy as np
import torch
from torch import Tensor

from mixcl_auto.inference.windows import Index, WindowLayout, region
from mixcl_auto.transforms.kernels.window_blending import add_window
from mixcl_auto.transforms.shared_planes import share_planes

_SIGMA = 0.125
_SMALLEST_WEIGHT = 1e-3


class Blender:
    """Sums windows in place, a voxel's classes side by side in memory, as channels-last networks give them.

    What all windows together weigh at each voxel is known before the first one is seen, so each is added
    with its share and nothing is divided at the end.

    Args:
        first: one window's logits (classes, x, y, z), for their number and device.
        layout: of all windows.
        on_cpu: whether to sum on the CPU whatever the device's free memory.
    """

    def __init__(self, first: Tensor, layout: WindowLayout, *, on_cpu: bool = False) -> None:
        classes, *patch = first.shape
        needed_bytes = (classes + 1) * math.prod(layout.shape) * 4
        device = torch.device("cpu") if on_cpu else _blending_device(first.device, needed_bytes)
        self._mean = torch.zeros((*layout.shape, classes), device=device)
        self._weights = importance((patch[0], patch[1], patch[2])).to(device)
        self._total = torch.zeros(layout.shape, device=device)
        for start in layout.starts:
            self._total[region(start, patch)] += self._weights

    def add(self, start: Index, logits: Tensor) -> None:
        """Add the window whose first voxel is ``start``."""
        place = region(start, self._weights.shape)
        window = logits.movedim(0, -1).to(self._mean.device)
        if self._mean.is_cpu:
            _add_on_cpu(window, self._weights, self._total[place], self._mean[place])
        else:
            self._mean[place].addcmul_(window.float(), (self._weights / self._total[place]).unsqueeze(-1))

    def mean(self) -> Tensor:
        """The blended logits (classes, X, Y, Z), once every window of the layout was added."""
        return self._mean.movedim(-1, 0)


def importance(patch_size: Index) -> Tensor:
    """A window's weights: a product of Gaussians about its centre, at least 1e-3.

    Each is exp(-x^2 / (2 sigma^2)) with sigma = 1/8 of the side.
    """
    weights = torch.ones(())
    for side in patch_size:
        offset = torch.arange(side, dtype=torch.float32) - (side - 1) / 2
        profile = torch.exp(-(offset**2) / (2 * (_SIGMA * side) ** 2))
        weights = weights.unsqueeze(-1) * profile
    return weights.clamp_(min=_SMALLEST_WEIGHT)


def _add_on_cpu(window: Tensor, weights: Tensor, total: Tensor, out: Tensor) -> None:
    """Add (x, y, z, classes) with its share; torch would go over memory three times, and on one thread."""
    is_half = window.dtype == torch.bfloat16
    bits = (window.view(torch.uint16) if is_half else window.float().view(torch.uint32)).numpy()
    shift = np.uint32(16 if is_half else 0)
    shares, totals, sums = weights.numpy(), total.numpy(), out.numpy()

    def add(planes: range) -> None:
        part = slice(planes.start, planes.stop)
        add_window(bits[part], shift, shares[part], totals[part], sums[part])

    share_planes(add, len(bits), torch.get_num_threads())


def _blending_device(device: torch.device, needed_bytes: int) -> torch.device:
    """The network's device if half of its free memory holds the blended logits, else the CPU."""
    if device.type != "cuda":
        return device
    free, _ = torch.cuda.mem_get_info(device)
    return device if needed_bytes <= free // 2 else torch.device("cpu")
