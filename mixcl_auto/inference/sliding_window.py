"""Prediction of a whole scan from overlapping windows, blended by a Gaussian in place.

Windows, blending and the padding of small scans are those of MONAI's ``sliding_window_inference`` in its
Gaussian mode (sigma 1/8 of the window), so that results agree with it. Windows of nothing but air (every
voxel at the lower end of the HU window) all look the same to the network: it sees one, and all others take
that result. This is exact, so it needs no switch.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixcl_auto.errors import RunError
from mixcl_auto.training.device import Precision, autocast

Index = tuple[int, int, int]

_SIGMA = 0.125
_SMALLEST_WEIGHT = 1e-3


@dataclass(frozen=True)
class WindowLayout:
    """The padded scan's shape, the padding before the scan, and each window's first voxel."""

    shape: Index
    before: Index
    starts: tuple[Index, ...]


@torch.inference_mode()
def predict_logits(
    network: Callable[[Tensor], Tensor],
    image: NDArray[np.float32],
    *,
    patch_size: Index,
    overlap: float,
    windows_per_batch: int,
    device: torch.device,
    precision: Precision = "fp32",
    advance: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """Predict every voxel of a scan.

    Args:
        network: from (B, 1, *patch_size) to logits (B, classes, *patch_size), on ``device`` and in evaluation
            mode.
        image: (X, Y, Z) in [0, 1], air being 0.
        patch_size: voxels of a window; a smaller scan is padded with air on both sides, and cut again.
        overlap: share of a window that the next one repeats.
        windows_per_batch: how many the network sees at once.
        device: where the network is; the blended logits are kept there if they fit, else on the CPU.
        precision: of the network; blending is in float32.
        advance: called with the number of windows each time some are done.

    Returns:
        Logits (classes, X, Y, Z).

    Raises:
        RunError: if a logit is not finite, or the scan is empty.
    """
    layout = lay_out_windows(image.shape, patch_size, overlap)
    padded = torch.from_numpy(_pad(image, layout))
    blender: Blender | None = None
    for starts, outputs in _window_outputs(
        network, padded, layout, patch_size, windows_per_batch, device, precision
    ):
        if blender is None:
            blender = Blender(outputs[0], layout)
        for start, output in zip(starts, outputs, strict=True):
            blender.add(start, output)
        if advance is not None:
            advance(len(starts))
    if blender is None:
        raise RunError("the scan has no voxels to predict")
    inner = blender.mean()[(slice(None), *_region(layout.before, image.shape))].cpu()
    if not torch.isfinite(inner.sum()):
        raise RunError(
            f"the network's output is not finite in precision {precision}; set finetune.precision to fp32, "
            "and if that does not help, train again with a lower learning rate"
        )
    logits: NDArray[np.float32] = inner.numpy()
    return logits


class Blender:
    """The weighted mean of overlapping windows, summed in place in the memory layout that they come in.

    What all windows together weigh at each voxel is known before the first one is seen, so each is added
    with its share and nothing is divided at the end. A network that runs channels-last gives channels-last
    logits; turning each window round would cost more than summing it.

    Args:
        first: one window's logits (classes, x, y, z), for their number, memory layout and device.
        layout: of all windows.
    """

    def __init__(self, first: Tensor, layout: WindowLayout) -> None:
        classes, *patch = first.shape
        device = _blending_device(first.device, (classes + 1) * math.prod(layout.shape) * 4)
        self._mean = _zeros((classes, *layout.shape), device, channels_last=first.stride(0) == 1)
        self._window = torch.empty_like(first, dtype=torch.float32, device=device)
        self._weights = importance((patch[0], patch[1], patch[2])).to(device)
        self._total = torch.zeros(layout.shape, device=device)
        for start in layout.starts:
            self._total[_region(start, patch)] += self._weights

    def add(self, start: Index, logits: Tensor) -> None:
        """Add the window whose first voxel is ``start``."""
        place = _region(start, self._weights.shape)
        # The conversion to float32 goes into memory that is there already: a new 50 MB per window cost
        # more than all the arithmetic.
        window = logits if logits.dtype == torch.float32 else self._window.copy_(logits)
        share = self._weights / self._total[place]
        self._mean[(slice(None), *place)].addcmul_(window.to(self._mean.device), share)

    def mean(self) -> Tensor:
        """The blended logits (classes, X, Y, Z), once every window of the layout was added."""
        return self._mean


def lay_out_windows(shape: Sequence[int], patch_size: Index, overlap: float) -> WindowLayout:
    """Place windows every (1 - overlap) of their size; the last along each axis is moved back inside."""
    sizes = tuple(max(n, p) for n, p in zip(shape, patch_size, strict=True))
    before = tuple((size - n) // 2 for size, n in zip(sizes, shape, strict=True))
    per_axis = [_axis_starts(n, p, overlap) for n, p in zip(sizes, patch_size, strict=True)]
    starts = tuple((x, y, z) for x, y, z in itertools.product(*per_axis))
    return WindowLayout((sizes[0], sizes[1], sizes[2]), (before[0], before[1], before[2]), starts)


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


def _window_outputs(
    network: Callable[[Tensor], Tensor],
    padded: Tensor,
    layout: WindowLayout,
    patch_size: Index,
    windows_per_batch: int,
    device: torch.device,
    precision: Precision,
) -> Iterator[tuple[Sequence[Index], Sequence[Tensor]]]:
    """Windows' places with the output of each, batch after batch, those of air together at the end."""

    def run(windows: list[Tensor]) -> Tensor:
        batch = torch.stack(windows).unsqueeze(1).to(device)
        with autocast(device, precision):
            return network(batch)

    air: list[Index] = []
    seen: list[Index] = []
    for start in layout.starts:
        (seen if padded[_region(start, patch_size)].any() else air).append(start)
    for batch in _batched(seen, windows_per_batch):
        outputs = run([padded[_region(start, patch_size)] for start in batch])
        yield batch, list(outputs)
    if air:
        output = run([torch.zeros(patch_size)])[0]
        yield air, [output] * len(air)


def _batched(items: list[Index], size: int) -> Iterator[list[Index]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]


def _axis_starts(length: int, side: int, overlap: float) -> list[int]:
    step = max(1, int(side * (1 - overlap)))
    starts = list(range(0, length - side, step))
    return [*starts, length - side]


def _region(lower: Sequence[int], size: Sequence[int]) -> tuple[slice, slice, slice]:
    x, y, z = (slice(first, first + side) for first, side in zip(lower, size, strict=True))
    return x, y, z


def _pad(image: NDArray[np.float32], layout: WindowLayout) -> NDArray[np.float32]:
    """The scan on the padded grid; not copied where nothing is added."""
    if image.shape == layout.shape:
        return np.ascontiguousarray(image, dtype=np.float32)
    padded = np.zeros(layout.shape, dtype=np.float32)
    padded[_region(layout.before, image.shape)] = image
    return padded


def _zeros(shape: Sequence[int], device: torch.device, *, channels_last: bool) -> Tensor:
    """Zeros (classes, X, Y, Z), with a voxel's classes side by side in memory or not."""
    classes, *grid = shape
    layout = (*grid, classes) if channels_last else (classes, *grid)
    # numpy asks for huge pages and torch does not: of some GB the first touch of small ones takes long.
    zeros = torch.from_numpy(np.zeros(layout, np.float32)).to(device)
    return zeros.movedim(-1, 0) if channels_last else zeros


def _blending_device(device: torch.device, needed_bytes: int) -> torch.device:
    """The network's device if half of its free memory holds the blended logits, else the CPU."""
    if device.type != "cuda":
        return device
    free, _ = torch.cuda.mem_get_info(device)
    return device if needed_bytes <= free // 2 else torch.device("cpu")
