"""One pass over a volume where numpy would make several temporary ones."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def clip_and_round(
    values: NDArray[Any], lower: float, upper: float, step: float, out: NDArray[np.int16]
) -> None:
    """Clip to ``[lower, upper]``, divide by ``step``, round half to even; a NaN becomes ``lower``.

    Args:
        values: (n,), of any real type.
        lower: Smallest value kept.
        upper: Largest value kept.
        step: Above 0; a power of two loses nothing.
        out: (n,).
    """
    low, high = np.float32(lower), np.float32(upper)
    steps_per_unit = np.float32(1.0 / step)
    for i in range(values.size):
        value = np.float32(values[i])
        value = value if value > low else low
        value = value if value < high else high
        out[i] = np.int16(np.rint(value * steps_per_unit))


@njit(cache=True, nogil=True)
def scale_to_unit(values: NDArray[Any], lower: float, upper: float, out: NDArray[np.float32]) -> None:
    """Map ``[lower, upper]`` to [0, 1] and clip to it; a NaN becomes 0.

    Args:
        values: (n,), of any real type.
        lower: Value that becomes 0.
        upper: Value that becomes 1.
        out: (n,).
    """
    low = np.float32(lower)
    width = np.float32(upper - lower)
    for i in range(values.size):
        value = (np.float32(values[i]) - low) / width
        value = value if value > np.float32(0.0) else np.float32(0.0)
        out[i] = value if value < np.float32(1.0) else np.float32(1.0)


@njit(cache=True, nogil=True)
def encode_steps(
    distance: NDArray[np.float32],
    fine_step: float,
    fine_end: float,
    coarse_step: float,
    out: NDArray[np.uint8],
) -> None:
    """Write each distance as a byte: fine steps up to ``fine_end``, coarse ones beyond, 0 for no boundary.

    Args:
        distance: (n,), not negative; infinity is allowed.
        fine_step: Step of the codes up to ``fine_end``.
        fine_end: A multiple of ``fine_step``.
        coarse_step: Step of the codes beyond.
        out: (n,).
    """
    fine_codes = np.float32(np.rint(fine_end / fine_step))
    fine_per_unit, coarse_per_unit = np.float32(1.0 / fine_step), np.float32(1.0 / coarse_step)
    end = np.float32(fine_end)
    for i in range(distance.size):
        d = distance[i]
        fine = np.rint(d * fine_per_unit)
        coarse = fine_codes + np.rint((d - end) * coarse_per_unit)
        code = fine if d <= end else coarse
        code = code if code < np.float32(255.0) else np.float32(255.0)
        code = code if code > np.float32(1.0) else np.float32(1.0)
        code = code if d > np.float32(0.0) else np.float32(0.0)
        out[i] = np.uint8(code)
