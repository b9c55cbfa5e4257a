"""How nnU-Net v2 and MONAI join windows and turn logits into labels, called as they call it themselves."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Repeating(nn.Module):
    """A network that takes no time: its output is always the same tensor."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, batch: Tensor) -> Tensor:
        return self.output[: len(batch)]


def join_with_monai(
    image: NDArray[np.float32], network: Callable[[Tensor], Tensor], side: int, windows_per_batch: int
) -> Tensor:
    """Logits (classes, X, Y, Z) by ``sliding_window_inference`` in its Gaussian mode, half a window apart."""
    from monai.inferers import sliding_window_inference

    with torch.inference_mode():
        joined = sliding_window_inference(
            torch.from_numpy(image)[None, None],
            (side,) * 3,
            windows_per_batch,
            network,
            overlap=0.5,
            mode="gaussian",
        )
    return joined[0]  # type: ignore[index, return-value]


def nnunet_predictor(network: nn.Module, side: int, classes: int) -> Any:
    """nnU-Net's predictor on the CPU, without mirroring, with what its window loop reads of a plan."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(
        use_mirroring=False,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    predictor.network = network
    predictor.configuration_manager = SimpleNamespace(patch_size=(side,) * 3)
    predictor.label_manager = SimpleNamespace(num_segmentation_heads=classes)
    return predictor


def export_with_nnunet(
    logits_zyx: NDArray[np.float32],
    shape_zyx: Sequence[int],
    spacing_zyx: Sequence[float],
    target_spacing_zyx: Sequence[float],
) -> Any:
    """Labels on the scan's grid: every class resampled with nnU-Net's defaults, then the largest."""
    from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape

    fine = resample_data_or_seg_to_shape(
        logits_zyx,
        shape_zyx,
        spacing_zyx,
        target_spacing_zyx,
        is_seg=False,
        order=1,
        order_z=0,
        force_separate_z=None,
    )
    return torch.from_numpy(fine).argmax(0)
