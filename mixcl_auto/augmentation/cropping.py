"""Cutting a patch out of an array that may end before the patch does."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def crop_padded(
    array: NDArray[Any], start: Sequence[int] | NDArray[np.int64], size: Sequence[int], fill: float
) -> NDArray[Any]:
    """Return ``array[start : start + size]`` along every axis, filled where the array does not reach.

    Args:
        array: Any number of axes.
        start: First voxel of the patch; may be negative or beyond the array.
        size: The patch's size.
        fill: Value outside the array.

    Returns:
        A new C-contiguous array of that size and the array's type.
    """
    first = [int(value) for value in start]
    patch = np.full([int(length) for length in size], fill, array.dtype)
    low = [max(0, value) for value in first]
    high = [min(n, value + length) for n, value, length in zip(array.shape, first, patch.shape, strict=True)]
    if all(lower < upper for lower, upper in zip(low, high, strict=True)):
        source = tuple(slice(lower, upper) for lower, upper in zip(low, high, strict=True))
        target = tuple(
            slice(lower - value, upper - value) for lower, upper, value in zip(low, high, first, strict=True)
        )
        patch[target] = array[source]
    return patch
