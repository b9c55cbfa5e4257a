"""From a scan's values (HU in CT) to what is cached (clipped, whole steps) and what the network sees."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.errors import DataError
from mixcl_auto.transforms.kernels.elementwise import clip_and_round, scale_to_unit


def clip_to_steps(
    image_hu: NDArray[Any], window_hu: Sequence[float], intensity_step: float
) -> NDArray[np.int16]:
    """Clip to the window and round to whole steps, half to even.

    Args:
        image_hu: Any shape and real type; in the scan's own unit where it is no CT.
        window_hu: Lower and upper bound.
        intensity_step: What one step stands for; 1 HU for CT.

    Returns:
        A new array of the same shape, in steps.

    Raises:
        DataError: If the window is not two ascending numbers, or reaches beyond int16 in these steps.
    """
    lower, upper = _check_window(window_hu)
    if not fits_int16(window_hu, intensity_step):
        raise DataError(
            f"window_hu {lower:g} to {upper:g} is beyond int16 in steps of {intensity_step:g}; correct "
            "window_hu or intensity_step in the plan"
        )
    values = _readable(image_hu)
    out = np.empty(values.shape, np.int16)
    clip_and_round(values.reshape(-1), lower, upper, float(intensity_step), out.reshape(-1))
    return out


def fits_int16(window_hu: Sequence[float], intensity_step: float) -> bool:
    """Whether int16 can hold a window in steps."""
    lower, upper = (bound / intensity_step for bound in window_hu)
    return lower >= -32768 and upper <= 32767


def to_unit_range(image: NDArray[Any], window: Sequence[float]) -> NDArray[np.float32]:
    """Map the window to [0, 1]; values outside become 0 or 1.

    Args:
        image: Any shape and real type.
        window: The values that become 0 and 1, in the image's unit: steps for what comes from the cache.

    Returns:
        A new array of the same shape.

    Raises:
        DataError: If the window is not two ascending numbers.
    """
    lower, upper = _check_window(window)
    values = _readable(image)
    out = np.empty(values.shape, np.float32)
    scale_to_unit(values.reshape(-1), lower, upper, out.reshape(-1))
    return out


def _check_window(window: Sequence[float]) -> tuple[float, float]:
    """Return the window as two floats, or refuse it."""
    bounds = [float(bound) for bound in window]
    if len(bounds) != 2 or not np.isfinite(bounds).all() or not bounds[0] < bounds[1]:
        raise DataError(f"window_hu must be a lower and a larger upper bound, got {bounds}; correct the plan")
    return bounds[0], bounds[1]


def _readable(image: NDArray[Any]) -> NDArray[Any]:
    """Return the values C-contiguous and of a type that the kernels are compiled for."""
    return np.ascontiguousarray(image, None if image.dtype in (np.int16, np.float32) else np.float32)
