"""Cubic B-spline interpolation along one axis, written as a banded matrix."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_banded

# Weights below this are dropped. The spline's weights decay by 0.27 per voxel for ever; what is dropped
# changes a value of 3000 HU by less than 0.001 HU, and denormal weights would slow the sums twentyfold.
_NEGLIGIBLE = 1e-7
_TAPS_PER_STEP = 8


@dataclass(frozen=True)
class BandedWeights:
    """The non-zero part of an (outputs, inputs) matrix.

    Attributes:
        starts: First input of each output's band, (outputs,).
        weights: (outputs, taps), taps a multiple of 8, padded with zeros; the rows sum to 1.
    """

    starts: NDArray[np.int64]
    weights: NDArray[np.float32]


def cubic_spline_weights(size: int, positions: NDArray[np.float64]) -> BandedWeights:
    """Give the weights with which an axis's samples make the interpolating cubic B-spline's values.

    The coefficients c solve B c = x with B = [1/6, 4/6, 1/6] and the samples mirrored about the outermost
    voxel centres (scipy's ``mode="mirror"``); the values are S c with the B-spline's four basis functions in
    each row of S. Both steps at once are W = S B^-1.

    Args:
        size: Samples along the axis.
        positions: Where the spline is evaluated, in voxels, between -1 and ``size``.

    Returns:
        W without its negligible weights.
    """
    basis = _basis_matrix(size, positions)
    if size == 1:
        return _banded(basis)
    prefilter_transposed = np.full((3, size), 1.0 / 6.0)
    prefilter_transposed[1] = 4.0 / 6.0
    prefilter_transposed[2, 0] = prefilter_transposed[0, -1] = 2.0 / 6.0
    return _banded(solve_banded((1, 1), prefilter_transposed, basis.T).T)


def basis_functions(fraction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate the four cubic B-splines that are not zero between two knots.

    Args:
        fraction: Position after the lower knot, in [0, 1].

    Returns:
        (4, ...), for the knots at -1, 0, 1 and 2 from the lower one; sums to 1.
    """
    f = fraction
    return np.stack(
        [
            (1.0 - f) ** 3 / 6.0,
            (3.0 * f**3 - 6.0 * f**2 + 4.0) / 6.0,
            (-3.0 * f**3 + 3.0 * f**2 + 3.0 * f + 1.0) / 6.0,
            f**3 / 6.0,
        ]
    )


def _basis_matrix(size: int, positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return S, (positions, size), with knots beyond the ends mirrored back."""
    matrix = np.zeros((positions.size, size))
    if size == 1:
        matrix[:] = 1.0
        return matrix
    lower = np.floor(positions).astype(np.int64)
    period = 2 * (size - 1)
    for knot, weight in enumerate(basis_functions(positions - lower), start=-1):
        folded = np.abs(lower + knot) % period
        np.add.at(matrix, (np.arange(positions.size), np.minimum(folded, period - folded)), weight)
    return matrix


def _banded(matrix: NDArray[np.float64]) -> BandedWeights:
    """Drop negligible weights, make the rows sum to 1 again and keep the band alone."""
    size = matrix.shape[1]
    kept = np.where(np.abs(matrix) >= _NEGLIGIBLE, matrix, 0.0)
    kept /= kept.sum(axis=1, keepdims=True)
    used = kept != 0.0
    first = used.argmax(axis=1)
    last = size - used[:, ::-1].argmax(axis=1)
    widest = int((last - first).max())
    taps = -(-widest // _TAPS_PER_STEP) * _TAPS_PER_STEP
    starts = np.clip(first, 0, max(size - taps, 0)).astype(np.int64)
    padded = np.pad(kept, ((0, 0), (0, taps)))
    columns = starts[:, None] + np.arange(taps)
    weights = np.take_along_axis(padded, columns, axis=1).astype(np.float32)
    return BandedWeights(starts, weights)
