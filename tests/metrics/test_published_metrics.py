"""The three figures against SimpleITK, scipy and the published definition of ``surface-distance``."""

import itertools

import numpy as np
import pytest
import SimpleITK
from scipy.ndimage import distance_transform_edt
from scipy.spatial.distance import directed_hausdorff

from mixcl_auto.metrics.dice import dice_per_label
from mixcl_auto.metrics.surface_distance import surface_distances, surface_scores

SPACING = (0.9, 1.4, 2.5)
SHAPE = (19, 17, 13)


def phantom(seed):
    """Three blobs of three sizes at random places."""
    random = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), axis=-1)
    labels = np.zeros(SHAPE, dtype=np.uint8)
    for label, radius in ((1, 4.5), (2, 3.5), (3, 2.2)):
        centre = random.uniform(4, np.array(SHAPE) - 5)
        labels[((grid - centre) ** 2 / random.uniform(0.7, 1.4, 3)).sum(axis=-1) < radius**2] = label
    return labels


def image_of(array):
    image = SimpleITK.GetImageFromArray(array.astype(np.uint8).transpose(2, 1, 0))
    image.SetSpacing(SPACING)
    return image


def pair(seed):
    """A reference and a prediction of it that overlap in part."""
    reference = phantom(seed)
    prediction = np.roll(reference, (1, -1, 1), axis=(0, 1, 2))
    prediction[:, :, ::4] = 0
    return reference, prediction


@pytest.mark.parametrize("seed", range(4))
def test_dice_equals_simpleitk(seed):
    reference, prediction = pair(seed)
    measure = SimpleITK.LabelOverlapMeasuresImageFilter()
    measure.Execute(image_of(reference), image_of(prediction))
    expected = {label: pytest.approx(measure.GetDiceCoefficient(label)) for label in (1, 2, 3)}
    scores = dice_per_label(reference, prediction, (1, 2, 3))
    assert scores == expected
    assert all(0 < score < 1 for score in scores.values())


def surfels(mask):
    """Where a 2 x 2 x 2 neighbourhood of the padded mask holds both inside and outside."""
    padded = np.pad(mask, 1)
    found = np.zeros([n - 1 for n in padded.shape], dtype=bool)
    for place in itertools.product(*map(range, found.shape)):
        cube = padded[tuple(slice(start, start + 2) for start in place)]
        found[place] = cube.any() and not cube.all()
    return found


@pytest.mark.parametrize("seed", range(3))
def test_largest_distance_equals_scipys_directed_hausdorff(seed):
    reference, prediction = (labels == 1 for labels in pair(seed))
    points = [np.argwhere(surfels(mask)) * SPACING for mask in (reference, prediction)]
    forward, backward = surface_distances(reference, prediction, SPACING)
    assert forward.distances_mm.max() == pytest.approx(directed_hausdorff(*points)[0], rel=1e-6)
    assert backward.distances_mm.max() == pytest.approx(directed_hausdorff(*points[::-1])[0], rel=1e-6)


def published_scores(reference, prediction, tolerance_mm):
    """compute_robust_hausdorff(95) and compute_surface_dice_at_tolerance, as published.

    The areas are ours; their table is checked by hand below.
    """
    borders = [surfels(mask) for mask in (reference, prediction)]
    areas = [surface_distances(mask, mask, SPACING)[0].areas_mm2 for mask in (reference, prediction)]
    to_border = [distance_transform_edt(~border, sampling=SPACING) for border in borders]
    distances = [to_border[1][borders[0]], to_border[0][borders[1]]]
    percentiles, matched = [], 0.0
    for distance, area in zip(distances, areas, strict=True):
        order = np.argsort(distance, kind="stable")
        cumulated = np.cumsum(area[order]) / area.sum()
        place = np.searchsorted(cumulated, 0.95)
        percentiles.append(distance[order][min(place, len(order) - 1)])
        matched += area[distance <= tolerance_mm].sum()
    return max(percentiles), matched / (areas[0].sum() + areas[1].sum())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("label", [1, 2, 3])
def test_hd95_and_surface_dice_equal_the_published_definition(seed, label):
    reference, prediction = (labels == label for labels in pair(seed))
    hd95_mm, surface_dice = published_scores(reference, prediction, tolerance_mm=1.5)
    ours = surface_scores(reference, prediction, SPACING, tolerance_mm=1.5)
    assert ours.hd95_mm == pytest.approx(hd95_mm, rel=1e-6)
    assert ours.surface_dice == pytest.approx(surface_dice, rel=1e-6)
    assert hd95_mm > 0
    assert 0 < surface_dice < 1


def total_area(mask):
    return surface_distances(mask, mask, SPACING)[0].areas_mm2.sum()


def corner_mm2():
    """The triangle through the midpoints of three edges: an eighth of the norm of the faces' areas."""
    x, y, z = SPACING
    return np.sqrt((x * y) ** 2 + (y * z) ** 2 + (x * z) ** 2) / 8


def test_area_of_one_voxel_is_eight_corners():
    assert total_area(np.ones((1, 1, 1), bool)) == pytest.approx(8 * corner_mm2(), rel=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_area_of_a_bar_is_its_corners_and_four_cut_edges_per_voxel(axis):
    shape = [1, 1, 1]
    shape[axis] = 5
    along = SPACING[axis]
    across = [side / 2 for place, side in enumerate(SPACING) if place != axis]
    edges = 4 * 4 * along * np.hypot(*across)
    assert total_area(np.ones(shape, bool)) == pytest.approx(8 * corner_mm2() + edges, rel=1e-5)


def test_area_of_a_plate_is_its_faces_edges_and_corners():
    # n x m voxels, one thick: (n - 1)(m - 1) full faces above and below, cut edges around, eight corners
    n, m = 4, 6
    x, y, z = SPACING
    faces = 2 * (n - 1) * (m - 1) * x * y
    edges = 4 * (n - 1) * x * np.hypot(y / 2, z / 2) + 4 * (m - 1) * y * np.hypot(x / 2, z / 2)
    assert total_area(np.ones((n, m, 1), bool)) == pytest.approx(faces + edges + 8 * corner_mm2(), rel=1e-5)
