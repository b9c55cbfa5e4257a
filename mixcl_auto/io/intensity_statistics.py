"""Intensity statistics of large arrays, without sorting or copying them whole."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mixcl_auto.records.fingerprint import Intensities

_STRETCH = 1 << 22
_LOWEST = int(np.iinfo(np.int16).min)
_PERCENTILES = (0.5, 50.0, 99.5)


def intensity_statistics(values: npt.NDArray[Any]) -> Intensities | None:
    """Summarise finite values, int16 or floating, of any shape; None where there are none.

    int16 is summarised exactly from its histogram.
    """
    if values.size == 0:
        return None
    if values.dtype == np.int16:
        counts = int16_histogram(values)
        levels = np.arange(counts.size, dtype=np.float64) + _LOWEST
        mean = float(counts @ levels / values.size)
        variance = float(counts @ (levels - mean) ** 2 / values.size)
        lower, median, upper = histogram_quantiles(counts, _PERCENTILES)
        present = np.flatnonzero(counts)
        minimum, maximum = float(levels[present[0]]), float(levels[present[-1]])
    else:
        mean = float(values.mean(dtype=np.float64))
        variance = _squared_deviations(values, mean) / values.size
        lower, median, upper = np.percentile(values, _PERCENTILES).tolist()
        minimum, maximum = float(values.min()), float(values.max())
    return Intensities(
        voxels=values.size,
        mean=mean,
        std=variance**0.5,
        minimum=minimum,
        percentile_00_5=lower,
        median=median,
        percentile_99_5=upper,
        maximum=maximum,
    )


def quantile_sketch(values: npt.NDArray[Any], count: int = 201) -> tuple[float, ...]:
    """Evenly spaced quantiles from the minimum to the maximum: a small stand-in for the distribution."""
    if values.size == 0:
        return ()
    percentiles = np.linspace(0.0, 100.0, count)
    if values.dtype == np.int16:
        return tuple(histogram_quantiles(int16_histogram(values), percentiles.tolist()))
    return tuple(np.percentile(values, percentiles).tolist())


def int16_histogram(values: npt.NDArray[np.int16]) -> npt.NDArray[np.int64]:
    """Voxels of each of the 65536 values, from -32768 up."""
    flat = values.ravel(order="K")
    counts = np.zeros(1 << 16, np.int64)
    for start in range(0, flat.size, _STRETCH):
        stretch = flat[start : start + _STRETCH].astype(np.int32) - _LOWEST
        counts += np.bincount(stretch, minlength=1 << 16)
    return counts


def histogram_quantiles(counts: npt.NDArray[np.int64], percentiles: Sequence[float]) -> list[float]:
    """Quantiles of the values that an int16 histogram counts, interpolated as numpy's ``linear`` does."""
    up_to = np.cumsum(counts)
    positions = np.asarray(percentiles) / 100.0 * (up_to[-1] - 1)
    below = np.floor(positions)
    first = np.searchsorted(up_to, below, side="right") + _LOWEST
    second = np.searchsorted(up_to, np.ceil(positions), side="right") + _LOWEST
    quantiles: list[float] = (first + (positions - below) * (second - first)).tolist()
    return quantiles


def _squared_deviations(values: npt.NDArray[Any], mean: float) -> float:
    """Their sum, a stretch at a time: numpy's variance first makes a float64 copy of all."""
    flat = values.ravel(order="K")
    total = 0.0
    for start in range(0, flat.size, _STRETCH):
        deviations = flat[start : start + _STRETCH].astype(np.float64) - mean
        total += float(deviations @ deviations)
    return total


def label_counts(labels: npt.NDArray[Any]) -> dict[int, int]:
    """Voxels of each label that is present, in ascending order of the label."""
    flat = labels.ravel(order="K")
    if flat.dtype == np.uint8:
        return _byte_counts(flat)
    counts = np.zeros(int(flat.max()) + 1, np.int64)
    for start in range(0, flat.size, _STRETCH):
        counts += np.bincount(flat[start : start + _STRETCH], minlength=counts.size)
    return _present(counts)


def _byte_counts(flat: npt.NDArray[np.uint8]) -> dict[int, int]:
    """Count pairs of bytes: half as many, and numpy counts one value after the other."""
    pairs = np.zeros(1 << 16, np.int64)
    for start in range(0, flat.size - 1, _STRETCH):
        stretch = flat[start : start + _STRETCH]
        pairs += np.bincount(stretch[: stretch.size // 2 * 2].view(np.uint16), minlength=1 << 16)
    table = pairs.reshape(256, 256)
    counts = table.sum(axis=0) + table.sum(axis=1)
    if flat.size % 2:
        counts[flat[-1]] += 1
    return _present(counts)


def _present(counts: npt.NDArray[np.int64]) -> dict[int, int]:
    return {int(label): int(counts[label]) for label in np.flatnonzero(counts)}
