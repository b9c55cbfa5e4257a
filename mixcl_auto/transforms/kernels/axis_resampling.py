"""Banded weights applied along one axis of a volume."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Lines handled together. Their samples stay in the second-level cache while the weights run over them; 192
# float32 are 12 vectors of AVX-512, and were the fastest of 16 to 256 on volumes of 512 x 512 x 150.
_LANES = 192
# Transposing whole blocks would touch one cache line after the other, of which few fit the first-level cache.
_TILE = 16


@njit(cache=True, nogil=True)
def weigh_middle_axis(
    source: NDArray[Any], starts: NDArray[np.int64], weights: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Set ``out[o, k, i] = sum_t weights[k, t] source[o, starts[k] + t, i]``.

    Args:
        source: (outer, n, inner), C-contiguous, of any real type.
        starts: First source index of each output's band, (m,).
        weights: (m, taps), taps a multiple of 8; taps beyond the axis are 0.
        out: (outer, m, inner).
    """
    outer, n, inner = source.shape
    m, taps = weights.shape
    blocks = (inner + _LANES - 1) // _LANES
    lanes = ((inner + blocks - 1) // blocks + 15) // 16 * 16
    lines = np.zeros((max(n, taps), lanes), np.float32)
    total = np.empty(lanes, np.float32)
    for o in range(outer):
        for first in range(0, inner, lanes):
            width = min(lanes, inner - first)
            for i in range(n):
                for lane in range(width):
                    lines[i, lane] = source[o, i, first + lane]
            for k in range(m):
                total[:] = 0.0
                for t in range(0, taps, 8):
                    s = starts[k] + t
                    w0, w1, w2, w3 = weights[k, t], weights[k, t + 1], weights[k, t + 2], weights[k, t + 3]
                    w4, w5, w6, w7 = (
                        weights[k, t + 4],
                        weights[k, t + 5],
                        weights[k, t + 6],
                        weights[k, t + 7],
                    )
                    for lane in range(lanes):
                        total[lane] += (
                            (w0 * lines[s, lane] + w1 * lines[s + 1, lane])
                            + (w2 * lines[s + 2, lane] + w3 * lines[s + 3, lane])
                        ) + (
                            (w4 * lines[s + 4, lane] + w5 * lines[s + 5, lane])
                            + (w6 * lines[s + 6, lane] + w7 * lines[s + 7, lane])
                        )
                for lane in range(width):
                    out[o, k, first + lane] = total[lane]


@njit(cache=True, nogil=True)
def weigh_last_axis(
    source: NDArray[Any], starts: NDArray[np.int64], weights: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Set ``out[o, k] = sum_t weights[k, t] source[o, starts[k] + t]``.

    As ``weigh_middle_axis``, for the axis that is contiguous in memory: a block of lines is transposed on the
    way in and out, so that the sums still run over many lines at once.

    Args:
        source: (outer, n), C-contiguous, of any real type.
        starts: First source index of each output's band, (m,).
        weights: (m, taps), taps a multiple of 8; taps beyond the axis are 0.
        out: (outer, m).
    """
    outer, n = source.shape
    m, taps = weights.shape
    lines = np.zeros((max(n, taps), _LANES), np.float32)
    totals = np.empty((m, _LANES), np.float32)
    for first in range(0, outer, _LANES):
        width = min(_LANES, outer - first)
        for corner in range(0, width, _TILE):
            for start in range(0, n, _TILE):
                for lane in range(corner, min(corner + _TILE, width)):
                    for i in range(start, min(start + _TILE, n)):
                        lines[i, lane] = source[first + lane, i]
        totals[:] = 0.0
        for k in range(m):
            for t in range(0, taps, 8):
                s = starts[k] + t
                w0, w1, w2, w3 = weights[k, t], weights[k, t + 1], weights[k, t + 2], weights[k, t + 3]
                w4, w5, w6, w7 = weights[k, t + 4], weights[k, t + 5], weights[k, t + 6], weights[k, t + 7]
                for lane in range(_LANES):
                    totals[k, lane] += (
                        (w0 * lines[s, lane] + w1 * lines[s + 1, lane])
                        + (w2 * lines[s + 2, lane] + w3 * lines[s + 3, lane])
                    ) + (
                        (w4 * lines[s + 4, lane] + w5 * lines[s + 5, lane])
                        + (w6 * lines[s + 6, lane] + w7 * lines[s + 7, lane])
                    )
        for corner in range(0, width, _TILE):
            for start in range(0, m, _TILE):
                for lane in range(corner, min(corner + _TILE, width)):
                    for k in range(start, min(start + _TILE, m)):
                        out[first + lane, k] = totals[k, lane]
