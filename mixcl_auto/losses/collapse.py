"""How far a representation has collapsed: measured beside the losses, and never trained on.

A collapsed encoder answers every voxel with the same channels, or with ones that all say the same thing; a
loss can fall all the while. Two numbers show it on a sample of voxels, a voxel per row (M, C).
"""

import math

import torch
from torch import Tensor
from torch.nn import functional


def effective_rank(rows: Tensor) -> Tensor:
    """How many directions the rows spread over: between 1 and min(C, M - 1).

    exp(-sum_i p_i log p_i), where p_i are the eigenvalues of the channels' covariance over their sum: the
    effective rank of Roy and Vetterli (2007), of centred rows and with variances in the place of singular
    values. k directions of equal variance give k; equal rows have no direction and give 1.

    Args:
        rows: (M, C), on any device; computed in float64, without a gradient.

    Returns:
        A 0-d float64 tensor; NaN where a row is not finite.

    Raises:
        ValueError: if ``rows`` is not a matrix with rows and channels.
    """
    centred = _centred(_checked(rows))
    if not centred.isfinite().all():
        return centred.new_full((), math.nan)
    # Both products have the same eigenvalues but for zeros.
    product = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    variances = torch.linalg.eigvalsh(product).clamp(min=0)
    total = variances.sum()
    shares = torch.where(total > 0, variances / total, torch.zeros_like(variances))
    entropy: Tensor = torch.special.entr(shares).sum()
    return entropy.exp()


def channel_spread(rows: Tensor) -> Tensor:
    """How widely the rows' directions spread: 1 if evenly over the sphere, 0 if they are all the same.

    sqrt(C) times the mean over channels of the standard deviation over rows, each row scaled to unit length;
    SimSiam's measure of collapse (Chen and He 2021, section 4.1). Rows that share a large mean, as those
    after a rectifier do, stay below 1 without being collapsed.

    Args:
        rows: (M, C), on any device; computed in float64, without a gradient.

    Returns:
        A 0-d float64 tensor; NaN where a row is not finite.

    Raises:
        ValueError: if ``rows`` is not a matrix with rows and channels.
    """
    centred = _centred(functional.normalize(_checked(rows), dim=1))
    return centred.square().mean(0).sqrt().mean() * math.sqrt(centred.shape[1])


def _checked(rows: Tensor) -> Tensor:
    if rows.ndim != 2 or not rows.numel():
        raise ValueError(f"rows must be (M, C), at least one of each, got {tuple(rows.shape)}")
    return rows.detach().double()


def _centred(rows: Tensor) -> Tensor:
    """Rows minus their mean; equal rows become zeros exactly, whatever the rounding of their mean."""
    shifted = rows - rows[0]
    return shifted - shifted.mean(0)
