"""How far each level's embeddings have collapsed: what the terms of Eq. 2 do not show while they fall."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mixcl_auto.distributed.ranks import ALONE, Ranks
from mixcl_auto.losses.collapse import channel_spread, effective_rank
from mixcl_auto.losses.embeddings import Embedding, factors
from mixcl_auto.losses.precision import widen, without_autocast
from mixcl_auto.losses.voxels import voxel_rows

_MOST_VOXELS = 4096
"""Of a sample and level: 16^3, more than level 0 of a large patch needs to be known by."""


def collapse_indicators(
    embeddings: Sequence[Embedding | None], ranks: Ranks = ALONE
) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    """Effective rank and channel spread of every level's embeddings, over the voxels of the whole batch.

    Large levels are represented by every third, fifth, ... voxel along each axis, the same for any number of
    processes; these exchange their rows.

    Args:
        embeddings: Z1 at every level, (B, C_l, X_l, Y_l, Z_l) or factored; None at levels to be left out.
        ranks: the processes that hold a part of the batch each, equally many samples.

    Returns:
        The effective rank as a share of the channels, in (0, 1], and the spread, in [0, 1]: 0-d tensors by
        level, without a gradient. The rank can't be above the number of voxels less one, which at the
        coarsest level of a small patch is below that of the channels.
    """
    levels = [level for level, embedding in enumerate(embeddings) if embedding is not None]
    rows = _of_all_ranks([_rows(embedding) for embedding in embeddings if embedding is not None], ranks)
    rank_shares = {n: effective_rank(z) / z.shape[1] for n, z in zip(levels, rows, strict=True)}
    return rank_shares, {n: channel_spread(z) for n, z in zip(levels, rows, strict=True)}


def _rows(embedding: Embedding) -> Tensor:
    """Embeddings at some of the voxels, (M, C), in float32 or wider."""
    features, head = factors(embedding, "embedding")
    with torch.no_grad(), without_autocast(features):
        step = _stride(features.shape[2:])
        rows = widen(voxel_rows(features[:, :, ::step, ::step, ::step]))
        return rows if head is None else rows @ widen(head).T


def _stride(grid: Sequence[int]) -> int:
    """The smallest odd step along the axes that leaves few enough voxels.

    Maps that were upsampled by two have patterns of period 2, 4, ...: an even step would see one phase alone.
    """
    step = 1
    while math.prod(-(-size // step) for size in grid) > _MOST_VOXELS:
        step += 2
    return step


def _of_all_ranks(rows: Sequence[Tensor], ranks: Ranks) -> list[Tensor]:
    """The rows of all processes below one another, in one collective."""
    if ranks.count == 1:
        return list(rows)
    padded = [part.new_zeros(ranks.count, *part.shape) for part in rows]
    for empty, part in zip(padded, rows, strict=True):
        empty[ranks.number] = part
    return [full.flatten(0, 1) for full in ranks.sum(padded)]
