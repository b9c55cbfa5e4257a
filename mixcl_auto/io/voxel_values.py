"""Number types of decoded voxels: scans as int16 where that loses nothing, label maps as small integers."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixcl_auto.errors import DataError

Array = npt.NDArray[Any]


def image_values(values: Array) -> Array:
    """Intensities as int16 where all are integers that fit, else as float32."""
    if values.dtype == np.int16:
        return values
    limits = np.iinfo(np.int16)
    if values.dtype.kind in "iu":
        fits = values.min() >= limits.min and values.max() <= limits.max
        return values.astype(np.int16 if fits else np.float32)
    finite = np.isfinite(values).all()
    fits = finite and values.min() >= limits.min and values.max() <= limits.max
    if fits and np.array_equal(values, rounded := np.rint(values)):
        return rounded.astype(np.int16)
    return values.astype(np.float32)


def label_values(values: Array, path: Path) -> Array:
    """Labels as uint8, or int16 where one exceeds 255.

    Raises:
        DataError: if a value is not an integer from 0 to 32767.
    """
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.rint(values)).all()):
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
