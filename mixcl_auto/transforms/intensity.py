"""From HU to what is cached (clipped int16) and to what the network sees ([0, 1])."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.errors import DataError
from mixcl_auto.transforms.kernels.elementwise import clip_and_round, scale_to_unit


def clip_hu(image_hu: NDArray[Any], window_hu: Sequence[float]) -> NDArray[np.int16]:
    """Clip to the window and round to whole HU, half to even.

    Args:
        image_hu: Any shape and real type.
        window_hu: Lower and upper bound, within int16.

    Returns:
        A new array of the same shape.

    Raises:
        DataError: If the window is not two ascending numbers that int16 can hold.
    """
    lower, upper = _check_window(window_hu)
    if lower < -32768 or upper > 32767:
        raise DataError(
            f"window_hu must lie within int16 for a cache of whole HU, got {lower:g} to {upper:g}"
        )
    values = _readable(image_hu)
    out = np.empty(values.shape, np.int16)
    clip_and_round(values.reshape(-1), lower, upper, out.reshape(-1))
    return out


def to_unit_range(image_hu: NDArray[Any], window_hu: Sequence[float]) -> NDArray[np.float32]:
    """Map the window to [0, 1]; values outside become 0 or 1.

    Args:
        image_hu: Any shape and real type.
        window_hu: The values that become 0 and 1.

    Returns:
        A new array of the same shape.

    Raises:
        DataError: If the window is not two ascending numbers.
    """
    lower, upper = _check_window(window_hu)
    values = _readable(image_hu)
    out = np.empty(values.shape, np.float32)
    scale_to_unit(values.reshape(-1), lower, upper, out.reshape(-1))
    return out


def _check_window(window_hu: Sequence[float]) -> tuple[float, float]:
    """Return the window as two floats, or refuse it."""
    bounds = [float(bound) for bound in window_hu]
    if len(bounds) != 2 or not np.isfinite(bounds).all() or not bounds[0] < bounds[1]:
        raise DataError(f"window_hu must be a lower and a larger upper bound, got {bounds}; correct the plan")
    return bounds[0], bounds[1]


def _readable(image: NDArray[Any]) -> NDArray[Any]:
    """Return the values C-contiguous and of a type that the kernels are compiled for."""
    return np.ascontiguousarray(image, None if image.dtype in (np.int16, np.float32) else np.float32)
