"""Where in a case the pictures look: the slices, the part of the scan around the organs, the zoom."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.reporting.shown_case import REFERENCE, ShownCase

Mask = NDArray[np.bool_]
Box = tuple[slice, ...]

_MARGIN_MM = 25.0
_LEAST_SIDE_MM = 110.0
_ZOOM_SIDE_MM = 60.0


@dataclass(frozen=True)
class Focus:
    """Voxel indices (x, y, z) of the scan."""

    slices: tuple[int, int, int]
    """The sagittal, the coronal and the axial plane."""
    box: Box
    """What the three planes of a picture show: the reference with a margin, if there is one."""
    whole: Box
    """What holds every map, false organs far away too, with the same margin."""
    zoom: Box
    """Along x and y: what the zoom shows of the axial plane."""


def find_focus(case: ShownCase) -> Focus:
    """Look where the shown maps differ most near the reference, or, for one organ, at that organ."""
    spacing_mm = case.image.spacing_mm
    whole = box_around(np.any([labels > 0 for labels in case.maps.values()], axis=0), spacing_mm)
    reference = case.maps.get(REFERENCE)
    box = whole if reference is None or not reference.any() else box_around(reference > 0, spacing_mm)
    interest = _interest(case, box)
    x, y, z = (_fullest(interest, axis) for axis in range(3))
    zoom = zoom_box(interest[:, :, z], spacing_mm[:2], box[:2])
    return Focus((x, y, z), box, whole, zoom)


def box_around(
    mask: Mask,
    spacing_mm: tuple[float, ...],
    margin_mm: float = _MARGIN_MM,
    least_side_mm: float = _LEAST_SIDE_MM,
) -> Box:
    """The box of a mask with a margin and no side below the least; the whole array for an empty mask."""
    if not mask.any():
        return tuple(slice(0, length) for length in mask.shape)
    ranges = []
    for axis, (length, side_mm) in enumerate(zip(mask.shape, spacing_mm, strict=True)):
        others = tuple(number for number in range(mask.ndim) if number != axis)
        found = np.flatnonzero(mask.any(axis=others))
        half = max((found[-1] + 1 - found[0]) / 2 + margin_mm / side_mm, least_side_mm / 2 / side_mm)
        ranges.append(_within((found[0] + found[-1] + 1) / 2, half, 0, length))
    return tuple(ranges)


def zoom_box(
    interest: Mask, spacing_mm: tuple[float, ...], within: Box, side_mm: float = _ZOOM_SIDE_MM
) -> Box:
    """The square of that side, within a box of a plane, that holds most of a mask; the box's middle if none.

    Args:
        interest: of the whole plane.
        spacing_mm: along the plane's axes.
        within: the box, which the square does not leave; it is smaller where the box is.
        side_mm: of the square.
    """
    from scipy.ndimage import uniform_filter

    part = interest[within].astype(np.float64)
    sides = [max(1, min(round(side_mm / s), n)) for s, n in zip(spacing_mm, part.shape, strict=True)]
    if part.any():
        shares = uniform_filter(part, sides, mode="constant")
        best = np.argwhere(shares >= shares.max() - 1e-9)
        middle = best.mean(axis=0)
        centre = best[np.abs(best - middle).sum(axis=1).argmin()]
    else:
        centre = np.array(part.shape) // 2
    ranges = []
    for place, side, length, edge in zip(centre, sides, part.shape, within, strict=True):
        start = edge.start + int(np.clip(place - side // 2, 0, length - side))
        ranges.append(slice(start, start + side))
    return tuple(ranges)


def _interest(case: ShownCase, box: Box) -> Mask:
    """Where in the box the organ is; or where predictions differ, or differ from the reference, or are."""
    maps = list(case.maps.values())
    inside = np.zeros(maps[0].shape, bool)
    inside[box] = True
    found: Mask
    if case.organ_label is not None:
        found = np.any([labels == case.organ_label for labels in maps], axis=0)
        return found & inside
    for group in (case.predictions, maps):
        found = np.any([labels != group[0] for labels in group], axis=0) & inside
        if found.any():
            return found
    return (maps[0] > 0) & inside


def _fullest(mask: Mask, axis: int) -> int:
    """The plane across an axis with most of a mask; the middle one where it is empty."""
    others = tuple(number for number in range(3) if number != axis)
    counts = np.count_nonzero(mask, axis=others)
    return int(counts.argmax()) if counts.any() else mask.shape[axis] // 2


def _within(centre: float, half: float, low: int, high: int) -> slice:
    return slice(max(low, int(centre - half)), min(high, int(np.ceil(centre + half))))
