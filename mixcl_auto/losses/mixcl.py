"""Eq. 2: L = L_id + alpha * L_label + beta * L_recon, for one batch of patch pairs.

Two samples of a batch never mix in the label loss (decision 9): each forms its pairs alone, and the loss is
the mean over the samples that have a positive pair. Nothing here waits for the device.

Several processes may hold a part of the batch each. Whatever depends on voxels or samples enters the loss
through sums that add up, so two collectives make it the loss of the whole batch on every process: one for
Eq. 5's means, one for all other sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from mixcl_auto.distributed.ranks import ALONE, Ranks
from mixcl_auto.losses.identity_consistency import (
    IdentityReduction,
    IdentityTerms,
    Views,
    correlation_from_sums,
    identity_terms,
    view_means,
    view_sums,
)
from mixcl_auto.losses.label_consistency import (
    LabelReduction,
    chance_value,
    has_positive_pair,
    label_consistency_loss,
    pair_relations,
)
from mixcl_auto.losses.pixel_sampling import class_column, sample_voxels
from mixcl_auto.losses.precision import widen, without_autocast
from mixcl_auto.losses.reconstruction import ReconstructionReduction, reconstruction_loss
from mixcl_auto.losses.voxels import voxel_rows

Embedding = Tensor | tuple[Tensor, Tensor]
"""A map of embeddings (B, C, X, Y, Z); or features (B, c, X, Y, Z) with a head (C, c), for Z = head @
features.

A factored one is never multiplied out: Eq. 5 needs the Gram matrices of the features, Eq. 6 the sampled
voxels.
"""


@dataclass(frozen=True, kw_only=True)
class MixCLSettings:
    """The objective; the defaults are the paper's, or this project's decision where it prints none.

    Attributes:
        label_weight: alpha of Eq. 2.
        reconstruction_weight: beta of Eq. 2.
        identity_weight: of the first term, 1 in Eq. 2.
        off_diagonal_weight: lambda of Eq. 4.
        identity_reduction: ``sum`` over a level's channels or ``mean_per_channel``; levels are summed either
            way.
        center: centre the channels before Eq. 5.
        temperature: tau of Eq. 6.
        label_reduction: of Eq. 6.
        label_levels: the levels whose embeddings enter Eq. 6, from zero; their losses are summed.
        voxels_per_class: r, per class and patch.
        reconstruction_reduction: ``mean`` over voxels, averaged over the three reconstructions; or ``sum``
            over a patch's voxels and the three reconstructions, averaged over the batch.
        identity: whether the first term is computed (Table 2).
        label: whether the second is.
        reconstruction: whether the third is.
    """

    label_weight: float = 0.01
    reconstruction_weight: float = 0.01
    identity_weight: float = 1.0
    off_diagonal_weight: float = 0.0051
    identity_reduction: IdentityReduction = "sum"
    center: bool = True
    temperature: float = 0.1
    label_reduction: LabelReduction = "global"
    label_levels: tuple[int, ...] = (1,)
    voxels_per_class: int = 256
    reconstruction_reduction: ReconstructionReduction = "mean"
    identity: bool = True
    label: bool = True
    reconstruction: bool = True

    def __post_init__(self) -> None:
        if not (self.identity or self.label or self.reconstruction):
            raise ValueError("at least one of identity, label and reconstruction must be on, got none")


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


@dataclass(frozen=True, kw_only=True)
class MixCLTerms:
    """Eq. 2 and its parts, 0-d tensors on the device; a term that is switched off is 0.

    Attributes:
        total: Eq. 2, what training minimises.
        identity: L_id before its weight. Like the next two it carries the graph, so that a term's share of
            the gradient can be measured.
        label: L_label before its weight.
        reconstruction: L_recon before its weight.
        identity_per_level: each level's part of ``identity``, detached.
        identity_diagonal_per_level: sum_i (1 - C_ii)^2 / C of each level, detached.
        label_chance: what ``label`` would be with all embeddings equal; NaN when no sample has a positive
            pair.
        label_samples: how many samples have a positive pair at the finest label level; the others were
            skipped.

    All are of the whole batch, whichever process asks.
    """

    total: Tensor
    identity: Tensor
    label: Tensor
    reconstruction: Tensor
    identity_per_level: tuple[Tensor, ...]
    identity_diagonal_per_level: tuple[Tensor, ...]
    label_chance: Tensor
    label_samples: Tensor


class LabelSums(NamedTuple):
    """Eq. 6 over the samples that have a positive pair, 0-d each; those of several processes add up.

    Attributes:
        loss: sum of the samples' losses.
        chance: sum of what they would be with all embeddings equal.
        samples: their number.
    """

    loss: Tensor
    chance: Tensor
    samples: Tensor


def mixcl_loss(
    *,
    embeddings_1: Sequence[Embedding | None],
    embeddings_1_prime: Sequence[Embedding | None],
    embeddings_2: Sequence[Embedding | None],
    reconstructions: Sequence[Tensor] | None,
    targets: MixCLTargets,
    settings: MixCLSettings,
    ranks: Ranks = ALONE,
) -> MixCLTerms:
    """Eq. 2 for one batch, from a network's outputs.

    Args:
        embeddings_1: Z1 at every level, (B, C_l, X_l, Y_l, Z_l); None where the terms that are on need none.
        embeddings_1_prime: Z1' at every level, likewise.
        embeddings_2: Z2 at every level; None at all but the label levels, and without the label term.
        reconstructions: those of view 1, view 1' and view 2; None without the reconstruction term.
        targets: the batch.
        settings: the objective.
        ranks: the processes that hold a part of the batch each, equally many samples.

    Raises:
        ValueError: for an output that a term needs and the network left out, or tensors that do not fit.
    """
    zero = targets.patch_1.new_zeros((), dtype=torch.float32)
    views = _views(embeddings_1, embeddings_1_prime) if settings.identity else []
    means = ranks.mean([view_means(level, center=settings.center) for level in views])
    identity_sums = [view_sums(level, mean) for level, mean in zip(views, means, strict=True)]
    label_levels = settings.label_levels if settings.label else ()
    label_sums = [
        _label_sums(level, embeddings_1[level], embeddings_2[level], targets, settings)
        for level in label_levels
    ]
    reconstruction = zero
    if settings.reconstruction:
        reconstruction = _reconstruction_term(reconstructions, targets, settings)
    identity_sums, label_sums, reconstruction = _sum(ranks, identity_sums, label_sums, reconstruction)
    levels = [
        _identity_level(sums, mean, len(level.rows) * ranks.count, level.head, settings)
        for level, mean, sums in zip(views, means, identity_sums, strict=True)
    ]
    identity = torch.stack([level.loss for level in levels]).sum() if levels else zero
    means = [level.loss / level.samples.clamp(min=1) for level in label_sums]
    label = torch.stack(means).sum() if means else zero
    reconstruction = reconstruction / ranks.count
    return MixCLTerms(
        total=settings.identity_weight * identity
        + settings.label_weight * label
        + settings.reconstruction_weight * reconstruction,
        identity=identity,
        label=label,
        reconstruction=reconstruction,
        identity_per_level=tuple(level.loss.detach() for level in levels),
        identity_diagonal_per_level=tuple(level.diagonal for level in levels),
        label_chance=_label_chance(label_sums, zero),
        label_samples=label_sums[0].samples if label_sums else zero,
    )


def _label_chance(levels: Sequence[LabelSums], zero: Tensor) -> Tensor:
    """What the label term would be with all embeddings equal; NaN where no level has a positive pair."""
    if not levels:
        return zero / zero
    chances = torch.stack([level.chance / level.samples for level in levels])
    return torch.where(chances.isnan().all(), torch.nan, chances.nansum())


def _sum(
    ranks: Ranks, identity: list[list[Tensor]], label: list[LabelSums], reconstruction: Tensor
) -> tuple[list[list[Tensor]], list[LabelSums], Tensor]:
    """Add up the sums of all processes, in one collective."""
    parts = [part for level in (*identity, *label) for part in level]
    summed = iter(ranks.sum([*parts, reconstruction]))
    identity = [[next(summed) for _ in level] for level in identity]
    return identity, [LabelSums(*(next(summed) for _ in level)) for level in label], next(summed)


def _views(
    embeddings_1: Sequence[Embedding | None], embeddings_1_prime: Sequence[Embedding | None]
) -> list[Views]:
    """Both views of every level, voxel by voxel."""
    views = []
    for level, (z, z_prime) in enumerate(zip(embeddings_1, embeddings_1_prime, strict=True)):
        features, head = _factors(z, f"embeddings_1[{level}]")
        features_prime, _ = _factors(z_prime, f"embeddings_1_prime[{level}]")
        views.append(Views(voxel_rows(features), voxel_rows(features_prime), head))
    return views


def _identity_level(
    sums: list[Tensor], means: Tensor, voxels: int, head: Tensor | None, settings: MixCLSettings
) -> IdentityTerms:
    """Eq. 4 at one level, from the sums over all voxels."""
    return identity_terms(
        correlation_from_sums(sums, means, voxels, head),
        off_diagonal_weight=settings.off_diagonal_weight,
        reduction=settings.identity_reduction,
    )


def _label_sums(
    level: int,
    embedding_1: Embedding | None,
    embedding_2: Embedding | None,
    targets: MixCLTargets,
    settings: MixCLSettings,
) -> LabelSums:
    """Eq. 6 of each sample at hand at one level, summed over those with a positive pair."""
    map_1, head_1 = _factors(embedding_1, f"embeddings_1[{level}]")
    map_2, head_2 = _factors(embedding_2, f"embeddings_2[{level}]")
    if not len(targets.class_counts) == len(targets.generators) == len(map_1):
        raise ValueError(
            f"class_counts and generators must have one entry for each of {len(map_1)} samples, "
            f"got {len(targets.class_counts)} and {len(targets.generators)}"
        )
    if level == min(settings.label_levels) and targets.labels_1.shape[1:] != map_1.shape[2:]:
        raise ValueError(
            f"labels and weights must be on the finest label level's grid {tuple(map_1.shape[2:])}, "
            f"got {tuple(targets.labels_1.shape[1:])}"
        )
    on_grid = partial(_reduced, grid=map_1.shape[2:])
    patches = [
        (map_1, head_1, on_grid(targets.labels_1), on_grid(targets.weights_1)),
        (map_2, head_2, on_grid(targets.labels_2), on_grid(targets.weights_2)),
    ]
    losses, chances, positives = [], [], []
    for b, (count, generator) in enumerate(zip(targets.class_counts, targets.generators, strict=True)):
        (z_1, labels_1), (z_2, labels_2) = (
            _draw(features[b], head, labels[b], weights[b], count, generator, settings)
            for features, head, labels, weights in patches
        )
        relations = pair_relations(labels_1, labels_2, classes=count)
        temperature, reduction = settings.temperature, settings.label_reduction
        losses.append(
            label_consistency_loss(z_1, z_2, relations, temperature=temperature, reduction=reduction)
        )
        chances.append(chance_value(relations, reduction=reduction))
        positives.append(has_positive_pair(relations))
    loss = torch.stack(losses).sum()
    return LabelSums(loss, torch.stack(chances).nansum(), torch.stack(positives).sum())


def _reduced(volumes: Tensor, grid: torch.Size) -> Tensor:
    """Labels or weights (B, X, Y, Z) at the grid of a coarser level, by nearest neighbour as a view."""
    strides = [full // part for full, part in zip(volumes.shape[1:], grid, strict=True)]
    return volumes[(slice(None), *(slice((stride - 1) // 2, None, stride) for stride in strides))]


def _draw(
    features: Tensor,
    head: Tensor | None,
    labels: Tensor,
    weights: Tensor,
    class_count: int,
    generator: torch.Generator,
    settings: MixCLSettings,
) -> tuple[Tensor, Tensor]:
    """Sampled embeddings (K * r, C) of one patch and their labels (K * r,), -1 where a class ran out."""
    classes = range(class_count)
    indices, validity = sample_voxels(
        labels.flatten(),
        weights.flatten(),
        settings.voxels_per_class,
        classes=classes,
        generator=generator,
    )
    sampled = features.flatten(1).index_select(1, indices.flatten()).T
    if head is not None:
        with without_autocast(sampled):
            sampled = widen(sampled) @ widen(head).T
    return sampled, class_column(classes, labels.device).where(validity, -1).flatten()


def _reconstruction_term(
    reconstructions: Sequence[Tensor] | None, targets: MixCLTargets, settings: MixCLSettings
) -> Tensor:
    """Eq. 3 over the three reconstructions, against P1, P1 and P2."""
    if reconstructions is None:
        raise ValueError("reconstructions must be given while the reconstruction term is on, got None")
    reduction = settings.reconstruction_reduction
    patches = (targets.patch_1, targets.patch_1, targets.patch_2)
    losses = torch.stack(
        [
            reconstruction_loss(reconstruction, patch, reduction=reduction)
            for reconstruction, patch in zip(reconstructions, patches, strict=True)
        ]
    )
    return losses.mean() if reduction == "mean" else losses.sum() / len(targets.patch_1)


def _factors(embedding: Embedding | None, name: str) -> tuple[Tensor, Tensor | None]:
    """Features and head of an embedding; a whole one has no head."""
    if embedding is None:
        raise ValueError(f"{name} must be given for the terms that are on, got None")
    return embedding if isinstance(embedding, tuple) else (embedding, None)
