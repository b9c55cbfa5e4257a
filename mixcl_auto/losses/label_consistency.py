"""Eq. 6 and Fig. 2d: label consistency, a supervised contrast between voxels of two patches.

A label of -1 marks padding, which forms no pair; 0 is background. Which pairs count depends on their classes
alone, so that sums over pairs are sums over classes first: no mask is as large as the pairs are many.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from mixcl_auto.losses.precision import widen, without_autocast

LabelReduction = Literal["global", "per_anchor"]

_SHORTEST_EMBEDDING = 1e-6
"""Shorter embeddings are not stretched to unit length, which bounds their gradient."""

_LARGEST_EXPONENT = 80.0
"""exp(-80) is still a normal number of float32."""


class PairRelations(NamedTuple):
    """The label relation matrix A of Fig. 2d, class by class (decision 8).

    Positive is the same organ; negative are different labels, organ against background included. Background
    with background is neither, and so is every pair with a negative label.

    Attributes:
        positive: whether a voxel of patch 1 is a positive pair with one of class c of patch 2, (N, C).
        related: whether they are a pair at all, positive or negative, (N, C).
        members: whether a voxel of patch 2 is of class c, (K, C).
    """

    positive: Tensor
    related: Tensor
    members: Tensor

    def counts(self) -> tuple[Tensor, Tensor]:
        """Positive and related pairs of each voxel of patch 1, (N,) each."""
        voxels = self.members.sum(0)
        return self.positive @ voxels, self.related @ voxels


def pair_relations(labels_1: Tensor, labels_2: Tensor, *, classes: int | None = None) -> PairRelations:
    """Relate the sampled voxels of two patches.

    Args:
        labels_1: labels of the voxels of patch 1, (N,).
        labels_2: labels of the voxels of patch 2, (K,).
        classes: C, above all labels; found out where absent, for which a GPU has to be waited for.
    """
    if classes is None:
        classes = 1 + max((int(labels.max()) for labels in (labels_1, labels_2) if len(labels)), default=0)
    values = torch.arange(max(classes, 1), device=labels_1.device)
    own, members = ((labels[:, None] == values).float() for labels in (labels_1, labels_2))
    organ = (values > 0).float()
    background = own[:, :1]
    related = own.sum(1, keepdim=True) - background * (1 - organ)
    return PairRelations(own * organ, related, members)


def has_positive_pair(relations: PairRelations) -> Tensor:
    """Whether two voxels of the patches show the same organ: a 0-d boolean tensor, left on its device."""
    return relations.counts()[0].any()


def chance_value(relations: PairRelations, *, reduction: LabelReduction = "global") -> Tensor:
    """What the loss would be with all embeddings equal; it depends on the organs' sizes alone.

    ``global``: log((pos + neg) / pos) over pairs. ``per_anchor``: the mean of log(pos_i + neg_i) over the
    anchors i that have a positive pair.

    Args:
        relations: of the sampled voxels.
        reduction: the loss's.

    Returns:
        A 0-d float32 tensor, NaN where there is no positive pair.

    Raises:
        ValueError: for an unknown reduction.
    """
    _check_reduction(reduction)
    positive, related = relations.counts()
    if reduction == "global":
        return torch.where(positive.any(), torch.log(related.sum() / positive.sum()), torch.nan)
    anchors = positive > 0
    return torch.where(anchors, related.clamp(min=1).log(), 0.0).sum() / anchors.sum()


def label_consistency_loss(
    z_1: Tensor,
    z_2: Tensor,
    relations: PairRelations,
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
        relations: of their voxels, see :func:`pair_relations`.
        temperature: tau.
        reduction: over pairs.

    Returns:
        A 0-d tensor in float32 (float64 for float64 inputs), on the inputs' device without synchronising with
        it. Without a positive pair it is 0, part of the graph, with zero gradients.

    Raises:
        ValueError: for shapes that do not fit, a temperature that is not positive, or an unknown reduction.
    """
    _check_reduction(reduction)
    _check_inputs(z_1, z_2, relations, temperature)
    with without_autocast(z_1):
        precision = widen(z_1).dtype
        # Scores span 2 / temperature; beyond float32's exponents they are computed in float64.
        wide = torch.float64 if 2 / temperature > _LARGEST_EXPONENT else precision
        unit_1, unit_2 = (
            functional.normalize(z.to(wide), dim=1, eps=_SHORTEST_EMBEDDING) for z in (z_1, z_2)
        )
        positive, related, members = (part.to(wide) for part in relations)
        scores = (unit_1 @ unit_2.T).div_(temperature)
        largest = scores.detach().amax() if scores.numel() else scores.new_zeros(())
        by_class = scores.sub_(largest).exp_() @ members  # (N, classes)
        everything = (by_class * related).sum(1)
        if reduction == "global":
            positives = (by_class * positive).sum()
            return _log_ratio(everything.sum(), positives, has_positive_pair(relations)).to(precision)
        counts = positive @ members.sum(0)
        sums = (unit_1 @ (unit_2.T @ members) / temperature * positive).sum(1)
        anchors = counts > 0
        logs = torch.where(anchors, everything, 1.0).log() + largest
        losses = torch.where(anchors, logs - sums / counts.clamp(min=1), 0.0)
        return (losses.sum() / anchors.sum().clamp(min=1)).to(precision)


def _log_ratio(everything: Tensor, positives: Tensor, has_positive: Tensor) -> Tensor:
    """log(everything / positives); without a positive pair 0 with zero gradients, and never the log of 0."""
    return torch.where(has_positive, everything, 1.0).log() - torch.where(has_positive, positives, 1.0).log()


def _check_reduction(reduction: str) -> None:
    if reduction not in ("global", "per_anchor"):
        raise ValueError(f"reduction must be 'global' or 'per_anchor', got {reduction!r}")


def _check_inputs(z_1: Tensor, z_2: Tensor, relations: PairRelations, temperature: float) -> None:
    if z_1.ndim != 2 or z_2.ndim != 2 or z_1.shape[1] != z_2.shape[1]:
        raise ValueError(
            f"z_1 and z_2 must be (N, C) and (K, C), got {tuple(z_1.shape)} and {tuple(z_2.shape)}"
        )
    labels = len(relations.positive), len(relations.members)
    if labels != (len(z_1), len(z_2)):
        raise ValueError(
            f"there must be one label per embedding, got {labels[0]} labels for {len(z_1)} and "
            f"{labels[1]} for {len(z_2)}"
        )
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
