"""The second term of Eq. 2: Eq. 6 of every sample of a batch, at one level or several.

Two samples never mix (decision 9): each forms its pairs alone, and a level's loss is the mean over the
samples that have a positive pair.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from mixcl_auto.losses.embeddings import Embedding, factors
from mixcl_auto.losses.label_consistency import (
    chance_value,
    has_positive_pair,
    label_consistency_loss,
    pair_relations,
)
from mixcl_auto.losses.mixcl_settings import MixCLSettings
from mixcl_auto.losses.mixcl_targets import MixCLTargets
from mixcl_auto.losses.pixel_sampling import class_column, sample_voxels
from mixcl_auto.losses.precision import widen, without_autocast


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


def label_sums(
    level: int,
    embedding_1: Embedding | None,
    embedding_2: Embedding | None,
    targets: MixCLTargets,
    settings: MixCLSettings,
) -> LabelSums:
    """Eq. 6 of each sample at hand at one level, summed over those with a positive pair.

    Args:
        level: from zero.
        embedding_1: Z1 at that level.
        embedding_2: Z2 at that level.
        targets: the batch; its labels and weights are on the grid of the finest label level.
        settings: the objective.

    Raises:
        ValueError: if an embedding is missing, or the targets do not fit.
    """
    map_1, head_1 = factors(embedding_1, f"embeddings_1[{level}]")
    map_2, head_2 = factors(embedding_2, f"embeddings_2[{level}]")
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
    on_grid = partial(reduce_further, grid=map_1.shape[2:])
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


def label_term(levels: Sequence[LabelSums]) -> Tensor:
    """L_label: each level's mean over its samples with a positive pair, summed over the levels; 0-d."""
    return torch.stack([level.loss / level.samples.clamp(min=1) for level in levels]).sum()


def label_chance(levels: Sequence[LabelSums]) -> Tensor:
    """What the label term would be with all embeddings equal; NaN where no level has a positive pair."""
    chances = torch.stack([level.chance / level.samples for level in levels])
    return torch.where(chances.isnan().all(), torch.nan, chances.nansum())


def reduce_further(volumes: Tensor, grid: torch.Size) -> Tensor:
    """Take labels or weights (B, X, Y, Z) on to the grid of a coarser level, by nearest neighbour as a view.

    Of the two voxels at the centre of what a coarser one covers the upper is taken: `reduce_to_grid` took the
    lower when it brought the patch to this grid, and offsets of one sign would add up.
    """
    strides = [full // part for full, part in zip(volumes.shape[1:], grid, strict=True)]
    return volumes[(slice(None), *(slice(stride // 2, None, stride) for stride in strides))]


def _draw(
    features: Tensor,
    head: Tensor | None,
    labels: Tensor,
    weights: Tensor,
    class_count: int,
    generator: torch.Generator,
    settings: MixCLSettings,
) -> tuple[Tensor, Tensor]:
    """Sampled embeddings (N, C) of one patch and their labels (N,).

    Label -1 is where a class ran out. A CPU, which need not be waited for, leaves these out: they form no
    pair, and are most of what is drawn at coarse levels.
    """
    classes = range(class_count)
    indices, validity = sample_voxels(
        labels.flatten(),
        weights.flatten(),
        settings.voxels_per_class,
        classes=classes,
        generator=generator,
    )
    drawn = class_column(classes, labels.device).where(validity, -1).flatten()
    places = indices.flatten()
    if places.device.type == "cpu":
        places, drawn = places[drawn >= 0], drawn[drawn >= 0]
    sampled = features.flatten(1).index_select(1, places).T
    if head is not None:
        with without_autocast(sampled):
            sampled = widen(sampled) @ widen(head).T
    return sampled, drawn
