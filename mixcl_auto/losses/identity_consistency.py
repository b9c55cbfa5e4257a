"""Eq. 4 and 5: identity consistency, Barlow Twins' loss over the voxels of two views.

Eq. 5 is computed in three steps so that several processes can share one M: the channels' means, sums over
voxels of centred products, and the matrix from those sums. Only the two middle results depend on voxels, and
both add up.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mixcl_auto.losses.gram import channel_means, joint_gram
from mixcl_auto.losses.precision import widen, without_autocast

IdentityReduction = Literal["sum", "mean_per_channel"]

_ROUNDING_STEPS = 32
"""A deviation below this many float steps of the mean is rounding: such a channel counts as constant."""


class CorrelationSums(NamedTuple):
    """Sums over voxels that Eq. 5 is made of; those of several processes add up.

    Attributes:
        cross: sum over M of Z_i Z'_j, (C, C).
        squares: sum over M of Z_i^2, (C,).
        squares_prime: sum over M of Z'_j^2, (C,).
    """

    cross: Tensor
    squares: Tensor
    squares_prime: Tensor


class IdentityTerms(NamedTuple):
    """Eq. 4 at one level.

    Attributes:
        loss: the level's contribution, reduced as asked for.
        diagonal: sum over i of (1 - C_ii)^2 divided by the number of channels, detached: 1 without any
            correlation between the views, 0 when they agree.
    """

    loss: Tensor
    diagonal: Tensor


def correlation_sums(z: Tensor, z_prime: Tensor, mean: Tensor, mean_prime: Tensor) -> CorrelationSums:
    """Sum the centred products of Eq. 5 over the voxels at hand.

    The means are taken as constants. That is exact when they are the true means over M: centred channels sum
    to zero, so nothing of the sums' gradient passes through the means.

    Args:
        z: embeddings of view 1, (M, C).
        z_prime: embeddings of the other view at the same voxels, (M, C).
        mean: channel means of z over all voxels, (C,); zeros for the uncentred form.
        mean_prime: the same of z_prime.
    """
    centred, centred_prime = z - mean.detach(), z_prime - mean_prime.detach()
    norms = torch.linalg.vector_norm(centred, dim=0)
    norms_prime = torch.linalg.vector_norm(centred_prime, dim=0)
    return CorrelationSums(centred.T @ centred_prime, norms.square(), norms_prime.square())


def correlation_from_sums(sums: CorrelationSums, floor: Tensor, floor_prime: Tensor) -> Tensor:
    """Eq. 5 from its sums; a constant channel correlates with nothing and passes no gradient.

    Args:
        sums: over all voxels.
        floor: (C,), see :func:`rounding_floor`; a channel whose sum of squares is not above it is constant.
        floor_prime: the same for the other view.

    Returns:
        C of Eq. 5, (C, C): rows are channels of Z, columns channels of Z'.
    """
    scale = _inverse_root(sums.squares, floor)
    scale_prime = _inverse_root(sums.squares_prime, floor_prime)
    return sums.cross * scale[:, None] * scale_prime[None, :]


def rounding_floor(mean: Tensor, voxels: int) -> Tensor:
    """The sum of squares that rounding alone leaves in a centred constant channel, (C,)."""
    steps = _ROUNDING_STEPS * torch.finfo(mean.dtype).eps
    return voxels * (steps * mean.detach()).square()


def cross_correlation(z: Tensor, z_prime: Tensor, *, center: bool = True) -> Tensor:
    """Cross-correlation of two views' channels over voxels, Eq. 5.

    C_ij = sum_M Z_i Z'_j / (sqrt(sum_M Z_i^2) sqrt(sum_M Z'_j^2)), in float32 whatever autocast says.

    Args:
        z: embeddings of view 1, (M, C), M = B * H * W * D voxels.
        z_prime: embeddings of view 1', (M, C), same voxels.
        center: subtract each channel's mean over M first (decision 3, as Barlow Twins does).

    Returns:
        (C, C). A constant channel has zeros in its row or column.

    Raises:
        ValueError: for inputs that are not two matrices of one shape, or that hold no voxel.
    """
    _check_pair(z, z_prime)
    with without_autocast(z):
        z, z_prime = widen(z), widen(z_prime)
        mean, mean_prime = _channel_means(z, center), _channel_means(z_prime, center)
        sums = correlation_sums(z, z_prime, mean, mean_prime)
        floors = rounding_floor(mean, len(z)), rounding_floor(mean_prime, len(z))
        return correlation_from_sums(sums, *floors)


def projected_cross_correlation(
    features: Tensor, features_prime: Tensor, head: Tensor, *, center: bool = True
) -> Tensor:
    """Eq. 5 of z = head @ features, without forming z; exact, because the head is linear and has no bias.

    With G the Gram matrices of the centred features: sum_M Z_i Z'_j = (head G head^T)_ij. Where there are far
    more voxels than channels this saves the last layer of a projector and everything of its size.

    Args:
        features: what enters the last layer for view 1, (M, c).
        features_prime: the same for view 1', (M, c).
        head: weights of the last layer, (C, c).
        center: see :func:`cross_correlation`.

    Returns:
        (C, C), as :func:`cross_correlation`.

    Raises:
        ValueError: for inputs that do not fit.
    """
    _check_pair(features, features_prime)
    if head.ndim != 2 or head.shape[1] != features.shape[1]:
        raise ValueError(f"head must be (C, {features.shape[1]}), got {tuple(head.shape)}")
    with without_autocast(features):
        head = widen(head)
        mean, mean_prime = _channel_means(features, center), _channel_means(features_prime, center)
        gram = joint_gram(features, features_prime, mean, mean_prime)
        sums = _project_sums(gram, head)
        floor, floor_prime = (
            rounding_floor(head @ m, len(features)) + _gram_floor(part, head)
            for m, part in zip((mean, mean_prime), gram.detach().diagonal().chunk(2), strict=True)
        )
        return correlation_from_sums(sums, floor, floor_prime)


def identity_terms(
    correlation: Tensor, *, off_diagonal_weight: float = 0.0051, reduction: IdentityReduction = "sum"
) -> IdentityTerms:
    """Eq. 4 at one level, from its cross-correlation.

    Args:
        correlation: Eq. 5, (C, C).
        off_diagonal_weight: lambda of Eq. 4 (decision 4: Barlow Twins' value).
        reduction: see :func:`identity_consistency_loss`.

    Raises:
        ValueError: for an unknown reduction.
    """
    if reduction not in ("sum", "mean_per_channel"):
        raise ValueError(f"reduction must be 'sum' or 'mean_per_channel', got {reduction!r}")
    with without_autocast(correlation):
        channels = len(correlation)
        diagonal = correlation.diagonal()
        on_diagonal = (1 - diagonal).square().sum()
        off_diagonal = (correlation - torch.diag_embed(diagonal)).square().sum()
        loss = on_diagonal + off_diagonal_weight * off_diagonal
        return IdentityTerms(loss if reduction == "sum" else loss / channels, on_diagonal.detach() / channels)


def identity_consistency_loss(
    z: Tensor,
    z_prime: Tensor,
    *,
    off_diagonal_weight: float = 0.0051,
    reduction: IdentityReduction = "sum",
    center: bool = True,
) -> Tensor:
    """Identity consistency at one level, Eq. 4: sum_i (1 - C_ii)^2 + lambda * sum_{i != j} C_ij^2.

    Args:
        z: embeddings of view 1, (M, C).
        z_prime: embeddings of view 1', (M, C).
        off_diagonal_weight: lambda.
        reduction: ``sum`` over channels as printed, or ``mean_per_channel``, which divides by C (decision 5).
        center: see :func:`cross_correlation`.

    Returns:
        A 0-d tensor in float32 (float64 for float64 inputs).

    Raises:
        ValueError: for malformed inputs or an unknown reduction.
    """
    correlation = cross_correlation(z, z_prime, center=center)
    return identity_terms(correlation, off_diagonal_weight=off_diagonal_weight, reduction=reduction).loss


def _inverse_root(squares: Tensor, floor: Tensor) -> Tensor:
    """1 / sqrt(squares), and 0 without gradient where a channel is constant."""
    constant = squares <= floor
    # The inner `where` keeps the root away from 0, whose infinite slope the outer one would turn into NaN.
    root = torch.where(constant, torch.ones_like(squares), squares).sqrt()
    return torch.where(constant, torch.zeros_like(root), root.reciprocal())


def _channel_means(z: Tensor, center: bool) -> Tensor:
    """What to subtract from each channel, (C,), in float32 or wider."""
    means = channel_means(z.detach())
    return means if center else torch.zeros_like(means)


def _project_sums(gram: Tensor, head: Tensor) -> CorrelationSums:
    """Sums of z = head @ features from both views' joint Gram matrix of the features."""
    features = head.shape[1]
    own, cross, own_prime = (
        gram[:features, :features],
        gram[:features, features:],
        gram[features:, features:],
    )
    return CorrelationSums(
        head @ cross @ head.T,
        ((head @ own) * head).sum(1),
        ((head @ own_prime) * head).sum(1),
    )


def _gram_floor(squares: Tensor, head: Tensor) -> Tensor:
    """What rounding of a Gram matrix with this diagonal can leave in a projected sum of squares, (C,)."""
    largest = (head.detach().abs() @ squares.sqrt()).square()
    return _ROUNDING_STEPS * torch.finfo(head.dtype).eps * largest


def _check_pair(z: Tensor, z_prime: Tensor) -> None:
    if z.ndim != 2 or z.shape != z_prime.shape:
        raise ValueError(
            "z and z_prime must be (M, C) matrices of the same shape, "
            f"got {tuple(z.shape)} and {tuple(z_prime.shape)}"
        )
    if len(z) == 0:
        raise ValueError("z and z_prime must hold at least one voxel, got none")
