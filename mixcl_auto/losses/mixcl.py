"""Eq. 2: L = L_id + alpha * L_label + beta * L_recon, for one batch of patch pairs.

Nothing here waits for the device.

Several processes may hold a part of the batch each. Whatever depends on voxels or samples enters the loss
through sums that add up, so two collectives make it the loss of the whole batch on every process: one for
Eq. 5's means, one for all other sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixcl_auto.distributed.ranks import ALONE, Ranks
from mixcl_auto.losses.embeddings import Embedding, factors
from mixcl_auto.losses.identity_consistency import (
    IdentityTerms,
    Views,
    correlation_from_sums,
    identity_terms,
    view_means,
    view_sums,
)
from mixcl_auto.losses.label_term import LabelSums, label_chance, label_sums, label_term
from mixcl_auto.losses.mixcl_settings import MixCLSettings
from mixcl_auto.losses.mixcl_targets import MixCLTargets
from mixcl_auto.losses.reconstruction import reconstruction_loss
from mixcl_auto.losses.voxels import voxel_rows


@dataclass(frozen=True, kw_only=True)
class MixCLTerms:
    """Eq. 2 and its parts, tensors on the device, 0-d but for the last; a term that is switched off is 0.

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
        label_samples: how many samples have a positive pair, (label levels,); the others were skipped there.

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
    labelled = [
        label_sums(level, embeddings_1[level], embeddings_2[level], targets, settings)
        for level in (settings.label_levels if settings.label else ())
    ]
    reconstruction = zero
    if settings.reconstruction:
        reconstruction = _reconstruction_term(reconstructions, targets, settings)
    identity_sums, labelled, reconstruction = _sum(ranks, identity_sums, labelled, reconstruction)
    levels = [
        _identity_level(sums, mean, len(level.rows) * ranks.count, level.head, settings)
        for level, mean, sums in zip(views, means, identity_sums, strict=True)
    ]
    identity = torch.stack([level.loss for level in levels]).sum() if levels else zero
    label = label_term(labelled) if labelled else zero
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
        label_chance=label_chance(labelled) if labelled else zero / zero,
        label_samples=torch.stack([level.samples for level in labelled]) if labelled else zero.new_zeros(0),
    )


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
        features, head = factors(z, f"embeddings_1[{level}]")
        features_prime, _ = factors(z_prime, f"embeddings_1_prime[{level}]")
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
