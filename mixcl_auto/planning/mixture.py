"""Quantiles of a mixture of distributions that are known by their quantiles only."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def mixture_quantiles(
    sketches: Sequence[Sequence[float]],
    levels: npt.ArrayLike,
    weights: Sequence[float] | None = None,
) -> tuple[float, ...]:
    """Quantiles of the mixture whose distribution function is the weighted mean of the parts'.

    Between two quantiles a part's distribution function is linear; a repeated quantile is a step.

    Args:
        sketches: evenly spaced quantiles of each part, from minimum to maximum.
        levels: from 0 to 1.
        weights: of the parts; equal where absent.
    """
    shares = np.ones(len(sketches)) if weights is None else np.asarray(weights, dtype=np.float64)
    parts = [np.asarray(sketch, dtype=np.float64) for sketch in sketches]
    values = np.unique(np.concatenate(parts))
    before, up_to = np.zeros(values.size), np.zeros(values.size)
    for part, share in zip(parts, shares / shares.sum(), strict=True):
        below, at = _distribution(part, values)
        before += share * below
        up_to += share * at
    # both sides of every step, so that a level within a step gives the step's own value
    probabilities = np.stack([before, up_to], axis=1).ravel()
    quantiles = np.interp(np.asarray(levels, dtype=np.float64), probabilities, np.repeat(values, 2))
    return tuple(float(value) for value in np.atleast_1d(quantiles))


def _distribution(quantiles: Floats, values: Floats) -> tuple[Floats, Floats]:
    """P(X < v) and P(X <= v): where quantiles repeat, ``np.interp`` answers with the last of them."""
    levels = np.linspace(0.0, 1.0, quantiles.size)
    at = np.interp(values, quantiles, levels)
    below = 1.0 - np.interp(-values, -quantiles[::-1], levels)
    return np.minimum(below, at), at
