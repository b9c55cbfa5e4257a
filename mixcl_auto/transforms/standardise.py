"""The one recipe that turns a scan into what is cached, shared by preprocessing and inference."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.transforms.intensity import clip_to_steps
from mixcl_auto.transforms.resampling import resample_image, resample_labels


def standardise_image(
    image_hu: NDArray[Any],
    spacing_mm: Sequence[float],
    target_spacing_mm: Sequence[float],
    window_hu: Sequence[float],
    intensity_step: float,
    *,
    threads: int = 1,
) -> NDArray[np.int16]:
    """Resample a scan by cubic spline, clip it to the window and round to whole steps.

    Clipping comes after resampling: a window applied first would cut the edges that the spline interpolates.

    Args:
        image_hu: (x, y, z) in RAS orientation.
        spacing_mm: Spacing of the scan.
        target_spacing_mm: The plan's spacing.
        window_hu: The plan's window.
        intensity_step: The plan's step; 1 HU for CT.
        threads: That share the work; the result does not depend on their number.

    Returns:
        The scan on the plan's grid in steps, C-contiguous.

    Raises:
        DataError: If the scan is no volume, or a spacing or the window makes no sense.
    """
    to_steps = partial(clip_to_steps, window_hu=window_hu, intensity_step=intensity_step)
    return resample_image(image_hu, spacing_mm, target_spacing_mm, finish=to_steps, threads=threads)


def standardise_labels(
    labels: NDArray[Any], spacing_mm: Sequence[float], target_spacing_mm: Sequence[float]
) -> NDArray[Any]:
    """Resample a label map by linear argmax to the plan's grid.

    Args:
        labels: (x, y, z) in RAS orientation, of an integer type.
        spacing_mm: Spacing of the label map.
        target_spacing_mm: The plan's spacing.

    Returns:
        The label map on the plan's grid, C-contiguous, of the same type.

    Raises:
        DataError: If the labels are no volume of integers, or a spacing makes no sense.
    """
    return resample_labels(labels, spacing_mm, target_spacing_mm)
