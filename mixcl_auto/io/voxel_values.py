"""Number types of decoded voxels: scans as int16 where that loses nothing, label maps as small integers.

Large arrays are judged and turned slab by slab: their float64 would take four times what int16 does.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixcl_auto.errors import DataError

Array = npt.NDArray[Any]

_SLAB_VOXELS = 1 << 18
"""Of float64 they and their products stay within the CPU's second cache, or nearly so."""
_INT16 = np.iinfo(np.int16)


def image_values(values: Array) -> Array:
    """Intensities as int16 where all are integers that fit, else as float32."""
    if values.dtype == np.int16:
        return values
    if values.dtype.kind in "iu":
        fits = values.min() >= _INT16.min and values.max() <= _INT16.max
        return values.astype(np.int16 if fits else np.float32)
    whole = np.empty_like(values, np.int16)
    for slab in _slabs(values):
        if not _fits_int16(values[slab]):
            # read-only voxels are still those of a file's bytes, which should not be kept for them
            return values.astype(np.float32, copy=not values.flags.writeable)
        whole[slab] = values[slab]
    return whole


def scaled_values(stored: Array, slope: float, intercept: float) -> Array:
    """Stored numbers times a slope plus an intercept, computed in float64.

    Args:
        stored: integers or floating, of any shape.
        slope: finite.
        intercept: finite.

    Returns:
        int16 where all results are integers that fit; else float32, as ``image_values`` makes of float64;
        float64 only where float32 would turn every fraction into a whole number.
    """
    whole = np.empty_like(stored, np.int16)
    for slab, scaled in _scaled_slabs(stored, slope, intercept):
        if not _fits_int16(scaled):
            return _scaled_fractions(stored, slope, intercept)
        whole[slab] = scaled
    return whole


def _scaled_fractions(stored: Array, slope: float, intercept: float) -> Array:
    single = np.empty_like(stored, np.float32)
    had_fractions = has_fractions = False
    for slab, scaled in _scaled_slabs(stored, slope, intercept):
        single[slab] = scaled
        had_fractions = had_fractions or not _is_whole(scaled)
        has_fractions = has_fractions or not _is_whole(single[slab])
    if has_fractions or not had_fractions:
        return single
    scaled = stored * np.float64(slope)
    scaled += np.float64(intercept)
    return scaled


def _scaled_slabs(
    stored: Array, slope: float, intercept: float
) -> Iterator[tuple[tuple[slice, ...], npt.NDArray[np.float64]]]:
    for slab in _slabs(stored):
        yield slab, stored[slab] * np.float64(slope) + np.float64(intercept)


def _slabs(values: Array) -> Iterator[tuple[slice, ...]]:
    """Cut across the axis that is slowest in memory, so that each slab is one stretch of it."""
    slowest = int(np.argmax(np.abs(values.strides)))
    length = values.shape[slowest]
    thickness = max(1, _SLAB_VOXELS * length // max(1, values.size))
    for start in range(0, length, thickness):
        yield (slice(None),) * slowest + (slice(start, start + thickness),)


def _fits_int16(values: Array) -> bool:
    # what is not a number fails the first comparison
    return bool(values.min() >= _INT16.min and values.max() <= _INT16.max) and _is_whole(values)


def _is_whole(values: Array) -> bool:
    """Whether all are finite and without a fraction."""
    return bool(np.isfinite(values).all()) and np.array_equal(values, np.rint(values))


def label_values(values: Array, path: Path) -> Array:
    """Labels as uint8, or int16 where one exceeds 255.

    Raises:
        DataError: if a value is not an integer from 0 to 32767.
    """
    if values.dtype.kind == "f" and not all(_is_whole(values[slab]) for slab in _slabs(values)):
        odd = values[~(np.isfinite(values) & (values == np.rint(values)))].flat[0]
        raise DataError(
            f"{path}: label maps hold whole numbers, got {odd:g}; if it was resampled as an image, "
            "do it again with nearest neighbours; if this is another file, give the label map"
        )
    lowest, highest = values.min(), values.max()
    if lowest < 0 or highest > np.iinfo(np.int16).max:
        raise DataError(
            f"{path}: labels must be from 0 to 32767, got values from {lowest:g} to {highest:g}; correct "
            "them, or give the label map if this is another file"
        )
    return values.astype(np.uint8 if highest <= 255 else np.int16, copy=False)
