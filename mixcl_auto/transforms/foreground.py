"""Where a case's organs are: random voxels of each class, kept in the cache for drawing patches."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.errors import DataError
from mixcl_auto.transforms.grids import check_volume
from mixcl_auto.transforms.kernels.label_positions import count_classes, pick_ranks


def foreground_coordinates(
    labels: NDArray[Any], labels_wanted: Iterable[int], *, limit: int, generator: np.random.Generator
) -> dict[int, NDArray[np.int16]]:
    """Draw up to ``limit`` voxels of each class, without replacement.

    Args:
        labels: (x, y, z), of an integer type, at most 32767 voxels along an axis.
        labels_wanted: The classes; their order does not matter.
        limit: Most voxels of a class; a smaller class comes whole.
        generator: Decides which voxels. It is drawn from once for each class above the limit, in ascending
            order.

    Returns:
        For every class wanted, voxels as (n, 3), ascending by x, then y, then z; n is 0 for an absent class.

    Raises:
        DataError: If the labels are not a volume of integers of that size, or ``limit`` is below 1.
    """
    check_volume(labels, "labels")
    if not np.issubdtype(labels.dtype, np.integer) or max(labels.shape) > 32767:
        raise DataError(
            f"labels must be integers with at most 32767 voxels a side, got {labels.dtype} {labels.shape}"
        )
    if limit < 1:
        raise DataError(f"limit must be at least 1, got {limit}")
    wanted = sorted({int(label) for label in labels_wanted})
    if not wanted:
        return {}
    volume = np.ascontiguousarray(labels)
    slots = np.full(wanted[-1] - wanted[0] + 1, -1, np.int64)
    slots[np.array(wanted) - wanted[0]] = np.arange(len(wanted))
    counts = np.zeros(len(wanted), np.int64)
    count_classes(volume, slots, wanted[0], counts)
    ranks = [_draw_ranks(int(count), limit, generator) for count in counts]
    first = np.concatenate([[0], np.cumsum([drawn.size for drawn in ranks])]).astype(np.int64)
    picked = np.empty((int(first[-1]), 3), np.int16)
    pick_ranks(volume, slots, wanted[0], np.concatenate(ranks), first, picked)
    return {label: picked[first[row] : first[row + 1]] for row, label in enumerate(wanted)}


def _draw_ranks(count: int, limit: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return which of a class's voxels, in order of memory, are kept."""
    if count <= limit:
        return np.arange(count, dtype=np.int64)
    drawn = generator.choice(count, size=limit, replace=False, shuffle=False)
    return np.sort(drawn).astype(np.int64)
