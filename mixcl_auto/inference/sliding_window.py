"""Prediction of a whole scan from overlapping windows, blended by a Gaussian in place.

Windows, blending and the padding of small scans are those of MONAI's ``sliding_window_inference`` in its
Gaussian mode (sigma 1/8 of the window), so that results agree with it. Windows of nothing but air (every
voxel at the lower end of the HU window) all look the same to the network: it sees one, and all others take
that result. This is exact, so it needs no switch.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixcl_auto.errors import RunError
from mixcl_auto.inference.blending import Blender
from mixcl_auto.inference.windows import Index, WindowLayout, lay_out_windows, region
from mixcl_auto.training.device import Precision, autocast


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
    blend_on_cpu: bool = False,
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
        blend_on_cpu: whether windows are summed on the CPU even if the device has the memory.

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
            blender = Blender(outputs[0], layout, on_cpu=blend_on_cpu)
        for start, output in zip(starts, outputs, strict=True):
            blender.add(start, output)
    if blender is None:
        raise RunError("the scan has no voxels to predict")
    inner = blender.mean()[(slice(None), *region(layout.before, image.shape))].cpu()
    if not torch.isfinite(inner.sum()):
        raise RunError(
            f"the network's output is not finite in precision {precision}; set finetune.precision to fp32, "
            "and if that does not help, train again with a lower learning rate"
        )
    logits: NDArray[np.float32] = inner.numpy()
    return logits


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
        (air if _is_air(padded[region(start, patch_size)]) else seen).append(start)
    for batch in _batched(seen, windows_per_batch):
        outputs = run([padded[region(start, patch_size)] for start in batch])
        yield batch, list(outputs)
    if air:
        output = run([torch.zeros(patch_size)])[0]
        yield air, [output] * len(air)


def _is_air(window: Tensor) -> bool:
    """Whether no voxel is above 0; a few of them tell that of most windows with a body."""
    return not (window[::8, ::8, ::8].any() or window.any())


def _batched(items: list[Index], size: int) -> Iterator[list[Index]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]


def _pad(image: NDArray[np.float32], layout: WindowLayout) -> NDArray[np.float32]:
    """The scan on the padded grid; not copied where nothing is added."""
    if image.shape == layout.shape:
        return np.ascontiguousarray(image, dtype=np.float32)
    padded = np.zeros(layout.shape, dtype=np.float32)
    padded[region(layout.before, image.shape)] = image
    return padded
