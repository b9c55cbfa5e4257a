"""Class scores on a coarse grid to probabilities on a fine one, plane by plane."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.errors import DataError
from mixcl_auto.transforms.grids import check_spacing, linear_neighbours, positions_on
from mixcl_auto.transforms.kernels.probability_upsampling import interpolate_probabilities
from mixcl_auto.transforms.shared_planes import share_planes

STEPS = 255
"""A probability p is kept as round(255 p)."""

_PLANES_PER_THREAD = 4


class OutputAxis(NamedTuple):
    """One axis of the output's memory order."""

    axis: int
    """Of the scores: 0, 1 or 2 for x, y or z."""
    size: int
    """Voxels of the output along it."""
    descending: bool
    """Whether the output's voxels are counted against the scores' direction."""


class _Neighbours(NamedTuple):
    lower: NDArray[np.int64]
    fraction: NDArray[np.float32]


def probability_planes(
    scores: NDArray[np.float32],
    axes: Sequence[OutputAxis],
    classes: Sequence[int],
    *,
    spacing_mm: Sequence[float],
    target_spacing_mm: Sequence[float],
    are_logits: bool,
    threads: int = 1,
) -> Iterator[NDArray[np.uint8]]:
    """Interpolate scores trilinearly, some planes of the output after the other.

    The same positions and weights as ``upsample_argmax``, so that the class with the largest probability is
    its label. Logits are interpolated first and become probabilities then.

    Args:
        scores: (classes, x, y, z), in any memory order.
        axes: The output's axes, the slowest in memory first.
        classes: Which classes to keep.
        spacing_mm: Of the scores' grid along x, y and z.
        target_spacing_mm: Of the output's grid along x, y and z.
        are_logits: Whether the scores are logits; else they are probabilities.
        threads: That share the planes; the result does not depend on it.

    Yields:
        Probabilities in steps of 1/255, (kept classes, planes, rows, columns), at most a few planes at once.

    Raises:
        DataError: If the scores or the axes have another shape, or a spacing makes no sense.
    """
    if scores.ndim != 4 or scores.size == 0 or sorted(axis.axis for axis in axes) != [0, 1, 2]:
        raise DataError(
            f"scores must be (classes, x, y, z) and axes all of these, got {scores.shape}, {axes}"
        )
    source, target = (
        check_spacing(spacing_mm, "spacing_mm"),
        check_spacing(target_spacing_mm, "target_spacing_mm"),
    )
    turned = scores.transpose(0, *(axis.axis + 1 for axis in axes))
    slow, *plane = (_neighbours(turned.shape[n + 1], axis, source, target) for n, axis in enumerate(axes))
    slots = np.full(len(scores), -1, np.int64)
    slots[list(classes)] = np.arange(len(classes))
    step = _PLANES_PER_THREAD * threads
    for first in range(0, axes[0].size, step):
        count = min(step, axes[0].size - first)
        out = np.empty((len(classes), count, axes[1].size, axes[2].size), np.uint8)

        def fill(numbers: range, first: int = first, out: NDArray[np.uint8] = out) -> None:
            for number in numbers:
                blended = _blend(turned, int(slow.lower[first + number]), slow.fraction[first + number])
                interpolate_probabilities(blended, are_logits, *plane[0], *plane[1], slots, out[:, number])

        share_planes(fill, count, min(threads, count))
        yield out


def _blend(scores: NDArray[np.float32], lower: int, fraction: np.float32) -> NDArray[np.float32]:
    """The scores between two neighbouring planes, (classes, rows, columns), in the memory order given."""
    below = scores[:, lower].copy(order="K")
    if fraction == 0:
        return below
    above = scores[:, min(lower + 1, scores.shape[1] - 1)].copy(order="K")
    above -= below
    above *= fraction
    above += below
    return above


def _neighbours(
    size: int, axis: OutputAxis, spacing_mm: Sequence[float], target_spacing_mm: Sequence[float]
) -> _Neighbours:
    step = target_spacing_mm[axis.axis] / spacing_mm[axis.axis]
    positions = positions_on(size, axis.size, step)
    lower, fraction = linear_neighbours(size, positions[::-1] if axis.descending else positions)
    return _Neighbours(lower, fraction.astype(np.float32))
