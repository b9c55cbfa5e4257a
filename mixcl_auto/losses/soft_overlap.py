"""What soft Dice and cross-entropy need of a network's logits, without a float32 copy of them.

With 14 classes and 96^3 voxels a sample has 50 MB of float32 logits, and a plain computation of the loss
makes ten tensors of that size. Here a block of voxels at a time is widened, once for the sums and once for
the gradient; voxels run along its last axis, since a softmax over a short last axis takes twenty times as
long.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from mixcl_auto.losses.precision import without_autocast
from mixcl_auto.losses.voxels import blocks_of_rows, voxel_rows

_SMOOTH = 1e-5


class OverlapSums(NamedTuple):
    """Sums over the voxels of each sample, with p the softmax of the logits and g the one-hot reference.

    Attributes:
        intersection: sum of p g, (B, K).
        predicted: sum of p, (B, K).
        cross_entropy: sum of -log p at the reference's class, (B,).
    """

    intersection: Tensor
    predicted: Tensor
    cross_entropy: Tensor


def overlap_sums(logits: Tensor, labels: Tensor) -> OverlapSums:
    """Sum over voxels, in float32 (float64 for float64 logits) with autocast off.

    Args:
        logits: (B, K, X, Y, Z), in any precision and memory layout.
        labels: (B, X, Y, Z), of an integer type, from 0 to K - 1.

    Raises:
        ValueError: for shapes that do not fit.
    """
    if logits.ndim != 5 or labels.shape != (len(logits), *logits.shape[2:]):
        raise ValueError(
            "logits and labels must be (B, K, X, Y, Z) and (B, X, Y, Z), "
            f"got {tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    apply = cast(Callable[..., tuple[Tensor, Tensor, Tensor]], _OverlapSums.apply)
    return OverlapSums(*apply(logits, labels))


def soft_dice(intersection: Tensor, predicted: Tensor, reference: Tensor) -> Tensor:
    """2 I / (P + G) of sums I, P and G of one shape, each, both sides of the ratio raised as MONAI does."""
    return (2 * intersection + _SMOOTH) / (predicted + reference + _SMOOTH)


def voxels_per_class(labels: Tensor, classes: int) -> Tensor:
    """Voxels of each class in each sample, (B, K) in float32; a sample at a time, to save memory."""
    ones = torch.ones((), device=labels.device).expand(labels[0].numel())
    counts = ones.new_zeros(len(labels), classes)
    for sample, count in zip(labels, counts, strict=True):
        count.scatter_add_(0, sample.flatten().long(), ones)
    return counts


class _OverlapSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(logits, labels)
        precision = torch.promote_types(logits.dtype, torch.float32)
        intersection = logits.new_zeros(logits.shape[:2], dtype=precision)
        predicted, cross_entropy = torch.zeros_like(intersection), torch.zeros_like(intersection[:, 0])
        with without_autocast(logits):
            for b, rows, reference in _samples(logits, labels):
                for start, stop in blocks_of_rows(rows):
                    log_p = torch.log_softmax(_columns(rows[start:stop], precision), 0)
                    place = reference[start:stop].long()
                    log_p_reference = log_p.gather(0, place[None])[0]
                    intersection[b].index_add_(0, place, log_p_reference.exp())
                    cross_entropy[b] -= log_p_reference.sum()
                    predicted[b] += log_p.exp_().sum(1)
        return intersection, predicted, cross_entropy

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, to_intersection: Tensor, to_predicted: Tensor, to_cross_entropy: Tensor
    ) -> tuple[Tensor, None]:
        """The softmax's gradient, dL/dx_k = p_k (dL/dp_k - sum_j p_j dL/dp_j), and cross-entropy's, p - g."""
        logits, labels = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        with without_autocast(logits):
            for b, rows, reference in _samples(logits, labels):
                target, to_p, entropy = voxel_rows(gradient[b : b + 1]), to_predicted[b], to_cross_entropy[b]
                for start, stop in blocks_of_rows(rows):
                    p = torch.softmax(_columns(rows[start:stop], to_p.dtype), 0)
                    place = reference[start:stop].long()
                    at_reference = p.gather(0, place[None])[0]
                    at_reference *= to_intersection[b].index_select(0, place)
                    mean = (to_p @ p).add_(at_reference)
                    p *= (to_p + entropy)[:, None] - mean
                    p.scatter_add_(0, place[None], (at_reference - entropy)[None])
                    target[start:stop].copy_(p.T)
        return gradient, None


def _samples(logits: Tensor, labels: Tensor) -> list[tuple[int, Tensor, Tensor]]:
    """Each sample's number, its voxels as rows (M, K), and their labels (M,)."""
    return [(b, voxel_rows(logits[b : b + 1]), labels[b].flatten()) for b in range(len(logits))]


def _columns(rows: Tensor, precision: torch.dtype) -> Tensor:
    """Voxels (M, K) as (K, M) in another precision."""
    return rows.new_empty(rows.shape[::-1], dtype=precision).copy_(rows.T)
