"""Eq. 6 and Fig. 2d: label consistency, a supervised contrast between voxels of two patches.

A label of -1 marks padding, which forms no pair; 0 is background.
"""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from mixcl_auto.losses.precision import widen, without_autocast

LabelReduction = Literal["global", "per_anchor"]

_SHORTEST_EMBEDDING = 1e-6
"""Shorter embeddings are not stretched to unit length, which bounds their gradient."""


def pair_relations(labels_1: Tensor, labels_2: Tensor) -> tuple[Tensor, Tensor]:
    """Label relation matrix A of Fig. 2d, as two masks (decision 8).

    Args:
        labels_1: labels of the voxels of patch 1, (N,).
        labels_2: labels of the voxels of patch 2, (K,).

    Returns:
        ``positive`` (same organ) and ``negative`` (different labels, organ against background included),
        boolean (N, K). Background with background is neither, and so is every pair with a negative label.
    """
    first, second = labels_1[:, None], labels_2[None, :]
    valid = (first >= 0) & (second >= 0)
    same = first == second
    return same & (first > 0), ~same & valid


def has_positive_pair(labels_1: Tensor, labels_2: Tensor) -> Tensor:
    """Whether two voxels of the patches show the same organ: a 0-d boolean tensor, left on its device."""
    return pair_relations(labels_1, labels_2)[0].any()


def chance_value(labels_1: Tensor, labels_2: Tensor, *, reduction: LabelReduction = "global") -> Tensor:
    """What the loss would be with all embeddings equal; it depends on the organs' sizes alone.

    ``global``: log((pos + neg) / pos) over pairs. ``per_anchor``: the mean of log(pos_i + neg_i) over the
    anchors i that have a positive pair.

    Args:
        labels_1: labels of the sampled voxels of patch 1, (N,).
        labels_2: labels of the sampled voxels of patch 2, (K,).
        reduction: the loss's.

    Returns:
        A 0-d float32 tensor, NaN where there is no positive pair.

    Raises:
        ValueError: for an unknown reduction.
    """
    _check_reduction(reduction)
    positive, negative = pair_relations(labels_1, labels_2)
    if reduction == "global":
        positives, negatives = positive.sum().float(), negative.sum().float()
        return torch.where(positives > 0, torch.log1p(negatives / positives), torch.nan)
    anchors = positive.any(1)
    logs = (positive | negative).sum(1).clamp(min=1).float().log()
    return torch.where(anchors, logs, 0.0).sum() / anchors.sum()


def label_consistency_loss(
    z_1: Tensor,
    z_2: Tensor,
    labels_1: Tensor,
    labels_2: Tensor,
    *,
    temperature: float = 0.1,
    reduction: LabelReduction = "global",
) -> Tensor:
    """Label consistency between voxels of two patches, Eq. 6; pairs are (voxel of Z1, voxel of Z2).

    With s_ij = cos(z_1i, z_2j) / temperature, P the positive and N the negative pairs:

    - ``global`` (decision 7, as printed): logsumexp over P and N of s - logsumexp over P of s;
    - ``per_anchor`` (SupCon's L_out, Khosla et al. 2020, Eq. 2): the mean over the voxels i of Z1 with a
      positive of -1/|P(i)| * sum_{p in P(i)} (s_ip - logsumexp over P(i) and N(i) of s_i).

    Args:
        z_1: embeddings of view 1, (N, C), of any length.
        z_2: embeddings of view 2, (K, C).
        labels_1: their labels, (N,); -1 marks padding.
        labels_2: the same for z_2, (K,).
        temperature: tau.
        reduction: over pairs.

    Returns:
        A 0-d tensor in float32 (float64 for float64 inputs), on the inputs' device without synchronising with
        it. Without a positive pair it is 0, part of the graph, with zero gradients.

    Raises:
        ValueError: for shapes that do not fit, a temperature that is not positive, or an unknown reduction.
    """
    _check_reduction(reduction)
    _check_inputs(z_1, z_2, labels_1, labels_2, temperature)
    positive, negative = pair_relations(labels_1, labels_2)
    with without_autocast(z_1):
        unit_1 = functional.normalize(widen(z_1), dim=1, eps=_SHORTEST_EMBEDDING)
        unit_2 = functional.normalize(widen(z_2), dim=1, eps=_SHORTEST_EMBEDDING)
        similarity = unit_1 @ unit_2.T / temperature
        if reduction == "global":
            return _global_ratio(similarity, positive, negative)
        return _mean_over_anchors(similarity, positive, negative)


def _global_ratio(similarity: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """One log of one ratio over all pairs, as Eq. 6 is printed."""
    # Without a positive pair every pair stands in on both sides: the difference and its gradient are then
    # exactly 0, and no logsumexp is over nothing, where its gradient is NaN.
    stand_in = ~positive.any()
    related = (positive | negative | stand_in).flatten()
    everything = _masked_logsumexp(similarity.flatten(), related, 0)
    return everything - _masked_logsumexp(similarity.flatten(), (positive | stand_in).flatten(), 0)


def _mean_over_anchors(similarity: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """SupCon's form: each voxel of Z1 that has a positive weighs the same."""
    anchors = positive.any(1)
    related = positive | negative | ~anchors[:, None]
    everything = _masked_logsumexp(similarity, related, 1)
    positives = similarity.masked_fill(~positive, 0).sum(1) / positive.sum(1).clamp(min=1)
    losses = torch.where(anchors, everything - positives, torch.zeros_like(positives))
    return losses.sum() / anchors.sum().clamp(min=1)


def _masked_logsumexp(values: Tensor, mask: Tensor, dim: int) -> Tensor:
    """Logsumexp over the masked entries along an axis; each line must have one."""
    return torch.logsumexp(values.masked_fill(~mask, -math.inf), dim)


def _check_reduction(reduction: str) -> None:
    if reduction not in ("global", "per_anchor"):
        raise ValueError(f"reduction must be 'global' or 'per_anchor', got {reduction!r}")


def _check_inputs(z_1: Tensor, z_2: Tensor, labels_1: Tensor, labels_2: Tensor, temperature: float) -> None:
    if z_1.ndim != 2 or z_2.ndim != 2 or z_1.shape[1] != z_2.shape[1]:
        raise ValueError(
            f"z_1 and z_2 must be (N, C) and (K, C), got {tuple(z_1.shape)} and {tuple(z_2.shape)}"
        )
    if labels_1.shape != z_1.shape[:1] or labels_2.shape != z_2.shape[:1]:
        raise ValueError(
            f"there must be one label per embedding, got {tuple(labels_1.shape)} labels for {len(z_1)} and "
            f"{tuple(labels_2.shape)} for {len(z_2)}"
        )
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
