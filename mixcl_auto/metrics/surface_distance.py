"""Surface Dice and HD95 in mm, on surfaces of one definition.

A surface is a set of surfels: the 2 x 2 x 2 neighbourhoods that hold both inside and outside, each with the
area that marching cubes gives it at the spacing. This is the definition of DeepMind's ``surface-distance``
(Nikolov et al., arXiv:1809.04430), whose surface Dice and robust Hausdorff distance these are; it puts the
surface between voxels and does not depend on how finely a grid samples each side. The area table is MONAI's.

The rule for organs that one of the two maps lacks, so that a missed organ never improves a mean:

- in neither map: both figures are absent;
- in one only (missed or invented): surface Dice is 0 and HD95 is the diagonal of the scan, the largest
  distance that it could hold.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Spacing = tuple[float, float, float]

_ROUNDING_MM = 1e-4
"""Added to the tolerance, so that a distance of exactly the tolerance counts in spite of float32."""
_TREE_PAYS_BELOW = 1 / 40
"""Share of surfels among the box's voxels below which a k-d tree beats a distance transform."""


@dataclass(frozen=True)
class SurfaceScores:
    """Both figures of one organ; absent if neither map has it."""

    hd95_mm: float | None
    surface_dice: float | None


@dataclass(frozen=True)
class SurfaceDistances:
    """For every surfel of one surface: how far the other surface is (mm), and its own area (mm^2)."""

    distances_mm: NDArray[np.float64]
    areas_mm2: NDArray[np.float64]

    def percentile_mm(self, percentile: float) -> float:
        """The distance that ``percentile`` per cent of the surface's area does not exceed."""
        order = np.argsort(self.distances_mm, kind="stable")
        share = np.cumsum(self.areas_mm2[order]) / self.areas_mm2.sum()
        place = int(np.searchsorted(share, percentile / 100 - 1e-12))
        return float(self.distances_mm[order][min(place, order.size - 1)])

    def area_within_mm2(self, tolerance_mm: float) -> float:
        """The area that lies within the tolerance of the other surface."""
        return float(self.areas_mm2[self.distances_mm <= tolerance_mm + _ROUNDING_MM].sum())


def surface_scores_per_label(
    reference: NDArray[np.integer],
    prediction: NDArray[np.integer],
    labels: Iterable[int],
    spacing_mm: Spacing,
    *,
    tolerance_mm: float,
) -> dict[int, SurfaceScores]:
    """Both figures of every organ, each computed in the box that holds the organ in both maps.

    Args:
        reference: label map (x, y, z).
        prediction: label map on the same grid.
        labels: the organs' values.
        spacing_mm: of both maps.
        tolerance_mm: distance up to which a surfel counts as matched in surface Dice.

    Raises:
        ValueError: if the shapes differ.
    """
    from scipy.ndimage import find_objects

    if reference.shape != prediction.shape:
        raise ValueError(f"reference and prediction differ in shape: {reference.shape}, {prediction.shape}")
    wanted = list(labels)
    boxes = [find_objects(volume, max_label=max(wanted, default=0)) for volume in (reference, prediction)]
    diagonal_mm = scan_diagonal_mm(reference.shape, spacing_mm)
    scores = {}
    for label in wanted:
        found = [box[label - 1] for box in boxes if box[label - 1] is not None]
        if len(found) < 2:
            scores[label] = _one_sided(len(found), diagonal_mm)
            continue
        box = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(*found, strict=True))
        scores[label] = surface_scores(
            reference[box] == label, prediction[box] == label, spacing_mm, tolerance_mm=tolerance_mm
        )
    return scores


def surface_scores(
    reference: NDArray[np.bool_], prediction: NDArray[np.bool_], spacing_mm: Spacing, *, tolerance_mm: float
) -> SurfaceScores:
    """Both figures of one organ; a mask that touches the array's border has a surface there.

    HD95 is the larger of the two directed 95th percentiles, weighted by area. Surface Dice is the area of
    both surfaces that lies within the tolerance of the other, over the area of both. Where a mask is empty,
    the diagonal of the given array stands for the scan's.
    """
    if not (reference.any() and prediction.any()):
        present = int(reference.any()) + int(prediction.any())
        return _one_sided(present, scan_diagonal_mm(reference.shape, spacing_mm))
    forward, backward = surface_distances(reference, prediction, spacing_mm)
    matched = forward.area_within_mm2(tolerance_mm) + backward.area_within_mm2(tolerance_mm)
    return SurfaceScores(
        hd95_mm=max(forward.percentile_mm(95), backward.percentile_mm(95)),
        surface_dice=matched / float(forward.areas_mm2.sum() + backward.areas_mm2.sum()),
    )


def surface_distances(
    reference: NDArray[np.bool_], prediction: NDArray[np.bool_], spacing_mm: Spacing
) -> tuple[SurfaceDistances, SurfaceDistances]:
    """From every surfel of the reference to the prediction's surface, and the reverse.

    Raises:
        ValueError: if a mask is empty: there is no surface to measure from.
    """
    if not (reference.any() and prediction.any()):
        raise ValueError("a mask is empty; there is no surface to measure from")
    areas_mm2 = _surfel_areas_mm2(spacing_mm)
    codes = _neighbourhood_codes(reference), _neighbourhood_codes(prediction)
    first, second = ((code > 0) & (code < 255) for code in codes)
    forward, backward = _nearest_distances(first, second, spacing_mm)
    return (
        SurfaceDistances(forward, areas_mm2[codes[0][first]]),
        SurfaceDistances(backward, areas_mm2[codes[1][second]]),
    )


def scan_diagonal_mm(shape: tuple[int, ...], spacing_mm: Spacing) -> float:
    """Length of the diagonal of the box that the voxels cover."""
    return math.hypot(*(n * s for n, s in zip(shape, spacing_mm, strict=True)))


def _one_sided(present: int, diagonal_mm: float) -> SurfaceScores:
    return SurfaceScores(None, None) if present == 0 else SurfaceScores(diagonal_mm, 0.0)


def _neighbourhood_codes(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Eight bits per 2 x 2 x 2 neighbourhood of the padded mask, the first voxel in the highest bit."""
    padded = np.pad(mask, 1).view(np.uint8)
    nx, ny, nz = (n - 1 for n in padded.shape)
    codes = np.zeros((nx, ny, nz), dtype=np.uint8)
    for bit in range(8):
        i, j, k = (7 - bit) >> 2 & 1, (7 - bit) >> 1 & 1, (7 - bit) & 1
        codes |= padded[i : i + nx, j : j + ny, k : k + nz] << np.uint8(bit)
    return codes


def _surfel_areas_mm2(spacing_mm: Spacing) -> NDArray[np.float64]:
    """The area of each of the 256 neighbourhood codes."""
    from monai.metrics import utils

    area_table: Callable[..., tuple[Tensor, Tensor]] = utils.create_table_neighbour_code_to_surface_area
    table, _ = area_table([float(side) for side in spacing_mm])
    areas: NDArray[np.float64] = table.numpy().astype(np.float64)
    return areas


def _nearest_distances(
    first: NDArray[np.bool_], second: NDArray[np.bool_], spacing_mm: Spacing
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance (mm) from each set voxel to the nearest one set in the other array, in both directions."""
    surfels = np.count_nonzero(first) + np.count_nonzero(second)
    if surfels < first.size * _TREE_PAYS_BELOW:
        return _by_tree(first, second, spacing_mm)
    return _by_transform(first, second, spacing_mm), _by_transform(second, first, spacing_mm)


def _by_tree(
    first: NDArray[np.bool_], second: NDArray[np.bool_], spacing_mm: Spacing
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from scipy.spatial import KDTree

    one, two = np.argwhere(first) * np.asarray(spacing_mm), np.argwhere(second) * np.asarray(spacing_mm)
    forward, _ = KDTree(two, leafsize=32, balanced_tree=False).query(one)
    backward, _ = KDTree(one, leafsize=32, balanced_tree=False).query(two)
    return np.asarray(forward, dtype=np.float64), np.asarray(backward, dtype=np.float64)


def _by_transform(
    source: NDArray[np.bool_], other: NDArray[np.bool_], spacing_mm: Spacing
) -> NDArray[np.float64]:
    import edt

    distance = edt.edt(~other, anisotropy=spacing_mm, black_border=False, parallel=1)
    values: NDArray[np.float64] = distance[source].astype(np.float64)
    return values
