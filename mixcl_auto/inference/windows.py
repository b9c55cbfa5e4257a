"""Where a scan's overlapping windows lie."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

Index = tuple[int, int, int]


@dataclass(frozen=True)
class WindowLayout:
    """The padded scan's shape, the padding before the scan, and each window's first voxel."""

    shape: Index
    before: Index
    starts: tuple[Index, ...]


def lay_out_windows(shape: Sequence[int], patch_size: Index, overlap: float) -> WindowLayout:
    """Place windows every (1 - overlap) of their size; the last along each axis is moved back inside."""
    sizes = tuple(max(n, p) for n, p in zip(shape, patch_size, strict=True))
    before = tuple((size - n) // 2 for size, n in zip(sizes, shape, strict=True))
    per_axis = [_axis_starts(n, p, overlap) for n, p in zip(sizes, patch_size, strict=True)]
    starts = tuple((x, y, z) for x, y, z in itertools.product(*per_axis))
    return WindowLayout((sizes[0], sizes[1], sizes[2]), (before[0], before[1], before[2]), starts)


def region(lower: Sequence[int], size: Sequence[int]) -> tuple[slice, slice, slice]:
    """The slices of a box from its first voxel and its sides."""
    x, y, z = (slice(first, first + side) for first, side in zip(lower, size, strict=True))
    return x, y, z


def _axis_starts(length: int, side: int, overlap: float) -> list[int]:
    step = max(1, int(side * (1 - overlap)))
    starts = list(range(0, length - side, step))
    return [*starts, length - side]
