"""Squared distances to the nearest voxel of another label, in voxels and up to a limit: 16-bit whole numbers.

Exact, one axis after the other: along a line, D^2(i) = min over j of (i - j)^2 + G(j), where G(j) is the
squared distance found so far at j if j has i's label, and 0 if it has another. Candidates beyond a voxel of
another label never win, since that voxel itself is nearer. Looking outwards from i, the search ends once
(i - j)^2 alone is no less than the best. Neighbouring lines are searched together, in vectors of the CPU.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

FURTHEST = 160
"""Distances from here on are this one; twice FURTHEST^2 is below 2^16."""
_FAR = FURTHEST * FURTHEST
# Most lines searched together: their samples along an axis of 300 voxels stay in the second-level cache.
_LANES = 128


@njit(cache=True, nogil=True)
def square_along_last_axis(labels: NDArray[Any], out: NDArray[np.uint16]) -> None:
    """Squared distance to the nearest other label in the same line.

    Args:
        labels: (lines, n), of an integer type.
        out: (lines, n).
    """
    lines, n = labels.shape
    for line in range(lines):
        start = 0
        while start < n:
            stop = start + 1
            while stop < n and labels[line, stop] == labels[line, start]:
                stop += 1
            for i in range(start, stop):
                left = i - start + 1 if start > 0 else FURTHEST
                right = stop - i if stop < n else FURTHEST
                distance = min(left, right, FURTHEST)
                out[line, i] = distance * distance
            start = stop


@njit(cache=True, nogil=True)
def search_middle_axis(
    labels: NDArray[Any], squared: NDArray[np.uint16], table: NDArray[Any], out: NDArray[Any]
) -> None:
    """Extend squared distances along an axis.

    Args:
        labels: (outer, n, inner), of an integer type of at most 16 bits.
        squared: Distances along the axes done before, of the same shape.
        table: What to write for each square from 0 to ``FURTHEST``^2; empty to write the squares.
        out: Of the same shape; may be ``squared``.
    """
    outer, n, inner = labels.shape
    blocks = (inner + _LANES - 1) // _LANES
    lanes = ((inner + blocks - 1) // blocks + 31) // 32 * 32
    label = np.zeros((n, lanes), np.uint16)
    found = np.zeros((n, lanes), np.uint16)
    ground = np.zeros((n, lanes), np.uint16)
    is_ground = np.zeros(n, np.bool_)
    best = np.zeros(lanes, np.uint16)
    for o in range(outer):
        for first in range(0, inner, lanes):
            width = min(lanes, inner - first)
            low, high = _load(labels, squared, o, first, width, label, found, ground, is_ground)
            for i in range(n):
                if low > high:
                    best[:] = _FAR
                else:
                    nearest = max(1, low - i, i - high)
                    _search(i, nearest, is_ground[i], label, found, ground, best)
                for lane in range(width):
                    place = np.uintp(first) + np.uintp(lane)
                    out[o, i, place] = table[best[lane]] if table.size else best[lane]


@njit(cache=True, nogil=True)
def _load(
    labels: NDArray[Any],
    squared: NDArray[np.uint16],
    outer: int,
    first: int,
    width: int,
    label: NDArray[np.uint16],
    found: NDArray[np.uint16],
    ground: NDArray[np.uint16],
    is_ground: NDArray[np.bool_],
) -> tuple[int, int]:
    """Copy a block of lines; ``ground`` gets what label 0 sees, ``is_ground`` the rows of nothing else.

    Returns:
        The first and the last row that can be nearest to any; the first is larger where there is none.
    """
    n = label.shape[0]
    zero = np.uint16(0)
    low, high = n, -1
    start = np.uintp(first)
    for i in range(n):
        for lane in range(width):
            value = np.uint16(labels[outer, i, start + np.uintp(lane)])
            square = squared[outer, i, start + np.uintp(lane)]
            label[i, lane] = value
            found[i, lane] = square
            ground[i, lane] = square if value == zero else zero
        seen, smallest = zero, np.uint16(_FAR)
        for lane in range(width):
            seen |= label[i, lane]
            smallest = min(smallest, found[i, lane])
        is_ground[i] = seen == zero
        if seen != zero or smallest < _FAR:
            low, high = min(low, i), i
    return low, high


@njit(cache=True, nogil=True)
def _search(
    i: int,
    nearest: int,
    is_ground: bool,
    label: NDArray[np.uint16],
    found: NDArray[np.uint16],
    ground: NDArray[np.uint16],
    best: NDArray[np.uint16],
) -> None:
    """Set ``best`` for row i, looking outwards from ``nearest`` rows away."""
    n, lanes = found.shape
    zero = np.uint16(0)
    row = np.uintp(i)
    reach = zero
    for lane in range(lanes):
        best[lane] = found[row, lane]
        reach = max(reach, best[lane])
    for d in range(nearest, n):
        if d * d >= reach:
            break
        square = np.uint16(d * d)
        # a row beyond the volume is replaced by the one that asks, which never wins
        below = np.uintp(i - d if i >= d else i)
        above = np.uintp(i + d if i + d < n else i)
        reach = zero
        if is_ground:
            for lane in range(lanes):
                seen = min(ground[below, lane], ground[above, lane])
                best[lane] = min(np.uint16(seen + square), best[lane])
                reach = max(best[lane], reach)
        else:
            for lane in range(lanes):
                own = label[row, lane]
                left = found[below, lane] if label[below, lane] == own else zero
                right = found[above, lane] if label[above, lane] == own else zero
                best[lane] = min(np.uint16(min(left, right) + square), best[lane])
                reach = max(best[lane], reach)
