"""Eq. 4 and 5: identity consistency, Barlow Twins' loss over the voxels of two views.

Eq. 5 is computed in three steps so that several processes can share one M: the channels' means, sums over
voxels of centred products, and the matrix from those sums. Only the two middle results depend on voxels, and
both add up.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mixcl_auto.losses.gram import channel_means, joint_gram
from mixcl_auto.losses.precision import widen, without_autocast

IdentityReduction = Literal["sum", "mean_per_channel"]

_ROUNDING_STEPS = 32
"""A deviation below this many float steps of the mean is rounding: such a channel counts as constant."""


class Views(NamedTuple):
    """Two views of one level, voxel by voxel, of which Eq. 5 is the correlation.

    Attributes:
        rows: embeddings of view 1, (M, C); with a head, what enters the projector's last layer, (M, c).
        rows_prime: the same of view 1', at the same voxels.
        head: weights of that layer, (C, c), linear and without bias. Z = rows @ head^T is then never formed:
            with G the Gram matrices of the centred rows, sum_M Z_i Z'_j = (head G head^T)_ij. Where there are
            far more voxels than channels this saves the layer and everything of its size.
    """

    rows: Tensor
    rows_prime: Tensor
    head: Tensor | None = None


class CorrelationSums(NamedTuple):
    """Sums over voxels that Eq. 5 is made of.

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


def view_means(views: Views, *, center: bool = True) -> Tensor:
    """First step of Eq. 5: the channels' means over the voxels at hand, (2, c); zeros for ``center=False``.

    Processes with equally many voxels average theirs. The means carry no gradient. That is exact when they
    are the true means over M: centred channels sum to zero, so nothing of the gradient passes through them.

    Raises:
        ValueError: for views that do not fit together, or that hold no voxel.
    """
    _check_views(views)
    means = torch.stack([channel_means(rows.detach()) for rows in (views.rows, views.rows_prime)])
    return means if center else torch.zeros_like(means)


def view_sums(views: Views, means: Tensor) -> list[Tensor]:
    """Second step: sums of centred products over the voxels at hand; those of several processes add up.

    Args:
        views: in any precision; summed in that of the means.
        means: over all voxels, (2, c).
    """
    with without_autocast(views.rows):
        mean, mean_prime = means
        if views.head is not None:
            return [joint_gram(views.rows, views.rows_prime, mean, mean_prime)]
        centred, centred_prime = widen(views.rows) - mean, widen(views.rows_prime) - mean_prime
        norms, norms_prime = (torch.linalg.vector_norm(z, dim=0) for z in (centred, centred_prime))
        return [centred.T @ centred_prime, norms.square(), norms_prime.square()]


def correlation_from_sums(
    sums: Sequence[Tensor], means: Tensor, voxels: int, head: Tensor | None = None
) -> Tensor:
    """Third step: Eq. 5; a constant channel correlates with nothing and passes no gradient.

    Args:
        sums: of :func:`view_sums` over all voxels.
        means: over all voxels, (2, c).
        voxels: M.
        head: see :class:`Views`.

    Returns:
        C of Eq. 5, (C, C): rows are channels of Z, columns channels of Z'.
    """
    with without_autocast(means):
        if head is None:
            projected = CorrelationSums(*sums)
            floors = [_rounding_floor(mean, voxels) for mean in means]
        else:
            (gram,), head = sums, widen(head)
            projected = _project_sums(gram, head)
            squares = gram.detach().diagonal().chunk(2)
            floors = [
                _rounding_floor(head @ mean, voxels) + _gram_floor(part, head)
                for mean, part in zip(means, squares, strict=True)
            ]
        scale = _inverse_root(projected.squares, floors[0])
        scale_prime = _inverse_root(projected.squares_prime, floors[1])
        return projected.cross * scale[:, None] * scale_prime[None, :]


def cross_correlation(views: Views, *, center: bool = True) -> Tensor:
    """Cross-correlation of two views' channels over voxels, Eq. 5, of one process.

    C_ij = sum_M Z_i Z'_j / (sqrt(sum_M Z_i^2) sqrt(sum_M Z'_j^2)), in float32 whatever autocast says.
    Training calls the two steps by themselves, since the sums of several processes add up in between
    (`mixcl_loss`).

    Args:
        views: M = B * H * W * D voxels.
        center: subtract each channel's mean over M first (decision 3, as Barlow Twins does).

    Returns:
        (C, C). A constant channel has zeros in its row or column.

    Raises:
        ValueError: for views that do not fit together, or that hold no voxel.
    """
    means = view_means(views, center=center)
    return correlation_from_sums(view_sums(views, means), means, len(views.rows), views.head)


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

    The equation as a whole; training calls its steps by themselves (`mixcl_loss`).

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
    correlation = cross_correlation(Views(z, z_prime), center=center)
    return identity_terms(correlation, off_diagonal_weight=off_diagonal_weight, reduction=reduction).loss


def _inverse_root(squares: Tensor, floor: Tensor) -> Tensor:
    """1 / sqrt(squares), and 0 without gradient where a channel is constant."""
    constant = squares <= floor
    # The inner `where` keeps the root away from 0, whose infinite slope the outer one would turn into NaN.
    root = torch.where(constant, torch.ones_like(squares), squares).sqrt()
    return torch.where(constant, torch.zeros_like(root), root.reciprocal())


def _rounding_floor(mean: Tensor, voxels: int) -> Tensor:
    """The sum of squares that rounding alone leaves in a centred constant channel, (C,)."""
    steps = _ROUNDING_STEPS * torch.finfo(mean.dtype).eps
    return voxels * (steps * mean.detach()).square()


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


def _check_views(views: Views) -> None:
    rows, rows_prime, head = views
    if rows.ndim != 2 or rows.shape != rows_prime.shape:
        raise ValueError(
            "rows and rows_prime must be (M, C) matrices of the same shape, "
            f"got {tuple(rows.shape)} and {tuple(rows_prime.shape)}"
        )
    if len(rows) == 0:
        raise ValueError("rows and rows_prime must hold at least one voxel, got none")
    if head is not None and (head.ndim != 2 or head.shape[1] != rows.shape[1]):
        raise ValueError(f"head must be (C, {rows.shape[1]}), got {tuple(head.shape)}")
