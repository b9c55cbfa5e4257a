"""What the outputs for a batch of patch pairs are compared with."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class MixCLTargets:
    """What a batch's outputs are compared with.

    Attributes:
        patch_1: undistorted patches P1 in [0, 1], (B, 1, X, Y, Z).
        patch_2: the same for P2.
        labels_1: label maps of P1 on the grid of the finest label level, integers, (B, X_l, Y_l, Z_l).
        labels_2: the same for P2.
        weights_1: W of Eq. 7, by which voxels of P1 are sampled, on the same grid.
        weights_2: the same for P2.
        class_counts: each sample's number of classes, background included: that of its dataset.
        generators: each sample's source of randomness, on the tensors' device.
    """

    patch_1: Tensor
    patch_2: Tensor
    labels_1: Tensor
    labels_2: Tensor
    weights_1: Tensor
    weights_2: Tensor
    class_counts: Sequence[int]
    generators: Sequence[torch.Generator]
