"""Eq. 3: how far a reconstruction is from the undistorted patch."""

from typing import Literal

from torch import Tensor

from mixcl_auto.losses.precision import widen, without_autocast

ReconstructionReduction = Literal["mean", "sum"]


def reconstruction_loss(
    reconstruction: Tensor, patch: Tensor, *, reduction: ReconstructionReduction = "mean"
) -> Tensor:
    """Squared error between a reconstruction and its patch, Eq. 3: ||P - P~||^2.

    Args:
        reconstruction: the decoder's output for a distorted view, (B, 1, X, Y, Z).
        patch: the patch that the view was distorted from, same shape.
        reduction: ``mean`` over all voxels (decision 2), or ``sum`` over all voxels of the batch, as printed.

    Returns:
        A 0-d tensor in float32 (float64 for float64 inputs).

    Raises:
        ValueError: for tensors of different shapes, or an unknown reduction.
    """
    if reconstruction.shape != patch.shape:
        raise ValueError(
            "reconstruction and patch must have the same shape, "
            f"got {tuple(reconstruction.shape)} and {tuple(patch.shape)}"
        )
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction must be 'mean' or 'sum', got {reduction!r}")
    with without_autocast(reconstruction):
        squared_error = (widen(reconstruction) - widen(patch)).square()
        return squared_error.mean() if reduction == "mean" else squared_error.sum()
