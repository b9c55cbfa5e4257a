"""An encoder's channels at the voxels that a probe looks at."""

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mixcl_auto.errors import RunError
from mixcl_auto.networks.backbone import Backbone
from mixcl_auto.probing.position_share import PositionShare
from mixcl_auto.probing.sites import ProbedPatch
from mixcl_auto.progress import Progress
from mixcl_auto.training.patches import Index, read_padded
from mixcl_auto.transforms.intensity import to_unit_range


class LevelFeatures(NamedTuple):
    """The voxels of one level.

    Attributes:
        rows: their channels in float32 on the CPU, (M, C).
        labels: the organs there, (M,).
        position_share: of the whole maps, see :class:`PositionShare`; absent where it can't be told.
    """

    rows: Tensor
    labels: Tensor
    position_share: float | None


def read_features(
    network: Backbone,
    patches: Sequence[ProbedPatch],
    *,
    window_steps: tuple[float, float],
    batch_size: int,
    device: torch.device,
    progress: Progress,
) -> list[LevelFeatures]:
    """Encode the patches in float32 and keep the channels of their voxels at every level.

    Memory holds the maps of one batch, two sums of the size of a patch's maps, and the voxels kept.

    Args:
        network: on ``device``, in evaluation mode.
        patches: with the voxels to keep.
        window_steps: of the cache's numbers, mapped to [0, 1]; its lower end fills what lies outside a scan.
        batch_size: patches that are encoded at once.
        device: that computes.
        progress: told of every patch.

    Raises:
        RunError: if a map is not finite.
    """
    labels = [_labels(patches, level) for level in range(len(network.levels))]
    rows = [torch.empty(len(own), size.channels) for own, size in zip(labels, network.levels, strict=True)]
    shares = [PositionShare(size.channels, size.grid, device) for size in network.levels]
    filled = [0] * len(rows)
    for batch in _batches(patches, batch_size):
        images = np.stack([_read_image(patch, network.patch_size, window_steps) for patch in batch])
        with torch.inference_mode():
            maps = network.encode(torch.from_numpy(images)[:, None].to(device))
        for level, level_map in enumerate(maps):
            kept = _channels_at(level_map, [patch.levels[level].voxels for patch in batch])
            rows[level][filled[level] : filled[level] + len(kept)] = kept
            filled[level] += len(kept)
            shares[level].add(level_map)
        progress.advance(len(batch))
    _refuse_non_finite(rows, shares)
    values = [share.value() for share in shares]
    return [LevelFeatures(*level) for level in zip(rows, labels, values, strict=True)]


def _labels(patches: Sequence[ProbedPatch], level: int) -> Tensor:
    return torch.from_numpy(np.concatenate([patch.levels[level].labels for patch in patches]))


def _batches(patches: Sequence[ProbedPatch], size: int) -> Iterator[list[ProbedPatch]]:
    remaining = iter(patches)
    while batch := list(islice(remaining, size)):
        yield batch


def _read_image(patch: ProbedPatch, size: Index, window_steps: tuple[float, float]) -> NDArray[np.float32]:
    padding = math.floor(window_steps[0])
    cached = read_padded(patch.case.image, patch.lower, size, patch.case.shape, padding=padding)
    return to_unit_range(cached, window_steps)


def _channels_at(level_map: Tensor, voxels: Sequence[NDArray[np.int64]]) -> Tensor:
    """Rows (n, C) of a map (B, C, X, Y, Z) at some voxels of each sample, one sample after the other."""
    flat = level_map.flatten(2)
    rows = [
        flat[sample][:, torch.from_numpy(places).to(flat.device)].T for sample, places in enumerate(voxels)
    ]
    return torch.cat(rows).float().cpu()


def _refuse_non_finite(rows: Sequence[Tensor], shares: Sequence[PositionShare]) -> None:
    for level, (kept, share) in enumerate(zip(rows, shares, strict=True)):
        if not (kept.isfinite().all() and share.is_finite):
            raise RunError(
                f"the encoder's output at level {level} is not finite: its weights overflow float32; look at "
                "the end of its pre-training's log.csv, and pre-train again at a lower learning rate"
            )
