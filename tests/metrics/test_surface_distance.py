import itertools
import math

import numpy as np
import pytest
import SimpleITK
import torch
from monai.metrics import compute_surface_dice

from mixcl_auto.metrics import surface_distance
from mixcl_auto.metrics.surface_distance import (
    SurfaceScores,
    scan_diagonal_mm,
    surface_distances,
    surface_scores,
    surface_scores_per_label,
)

SPACING = (0.8, 1.5, 2.5)


def box(shape, lower, upper):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(a, b) for a, b in zip(lower, upper, strict=True))] = True
    return mask


def ellipsoid(shape, centre, radii):
    grid = np.ogrid[tuple(slice(0, n) for n in shape)]
    return sum(((x - c) / r) ** 2 for x, c, r in zip(grid, centre, radii, strict=True)) <= 1


def literal_surfels(mask):
    """Positions and codes of all 2x2x2 neighbourhoods with both inside and outside, voxel by voxel."""
    padded = np.pad(mask, 1)
    surfels = {}
    for i, j, k in itertools.product(*(range(n - 1) for n in padded.shape)):
        cube = padded[i : i + 2, j : j + 2, k : k + 2]
        if cube.any() and not cube.all():
            surfels[i, j, k] = int("".join(str(int(v)) for v in cube.ravel()), 2)
    return surfels


def literal_distances(source, other, spacing_mm):
    return [
        min(math.dist(*(np.multiply(place, spacing_mm) for place in (a, b))) for b in other) for a in source
    ]


@pytest.fixture
def two_blobs():
    shape = (13, 11, 9)
    return ellipsoid(shape, (6, 5, 4), (4.2, 3.1, 2.4)), ellipsoid(shape, (7, 5, 3), (3.6, 4.1, 2.2))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_distances_equal_the_literal_loop_by_tree_and_by_transform(two_blobs, monkeypatch, share):
    monkeypatch.setattr(surface_distance, "_TREE_PAYS_BELOW", share)
    first, second = (literal_surfels(mask) for mask in two_blobs)
    forward, backward = surface_distances(*two_blobs, SPACING)
    np.testing.assert_allclose(forward.distances_mm, literal_distances(first, second, SPACING), atol=1e-5)
    np.testing.assert_allclose(backward.distances_mm, literal_distances(second, first, SPACING), atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("tolerance_mm", [0.5, 1.0, 1.6, 2.0])
def test_surface_dice_equals_monai_with_subvoxels(two_blobs, tolerance_mm):
    expected = compute_surface_dice(
        *(torch.from_numpy(mask)[None, None] for mask in reversed(two_blobs)),
        class_thresholds=[tolerance_mm],
        include_background=True,
        spacing=list(SPACING),
        use_subvoxels=True,
    )
    ours = surface_scores(*two_blobs, SPACING, tolerance_mm=tolerance_mm).surface_dice
    assert ours == pytest.approx(expected.item(), abs=1e-6)
    assert 0 < ours < 1


@pytest.mark.parametrize(("axis", "voxels"), [(0, 3), (1, 2), (2, 4)])
def test_a_cube_shifted_by_k_voxels_has_that_hausdorff_distance(axis, voxels):
    offset = [0, 0, 0]
    offset[axis] = voxels
    first = box((20, 20, 20), (5, 5, 5), (11, 11, 11))
    second = box((20, 20, 20), np.add(5, offset), np.add(11, offset))
    shift_mm = voxels * SPACING[axis]
    # each face across the shift is a sixth of the 600 surfels or more, far above the 5 % that HD95 forgives
    score = surface_scores(first, second, SPACING, tolerance_mm=shift_mm)
    assert score.hd95_mm == pytest.approx(shift_mm, rel=1e-6)
    assert score.surface_dice == 1.0
    assert surface_scores(first, second, SPACING, tolerance_mm=shift_mm * 0.99).surface_dice < 1


@pytest.mark.parametrize("offset", [(3, 0, 0), (0, 2, 0), (2, 1, 3)])
def test_largest_distance_of_shifted_boxes_equals_simpleitk(offset):
    first = box((18, 18, 18), (4, 4, 4), (10, 9, 8))
    second = box((18, 18, 18), np.add((4, 4, 4), offset), np.add((10, 9, 8), offset))
    images = []
    for mask in (first, second):
        image = SimpleITK.GetImageFromArray(mask.astype(np.uint8).transpose(2, 1, 0))
        image.SetSpacing(SPACING)
        images.append(image)
    measure = SimpleITK.HausdorffDistanceImageFilter()
    measure.Execute(*images)
    forward, backward = surface_distances(first, second, SPACING)
    largest = max(forward.distances_mm.max(), backward.distances_mm.max())
    assert largest == pytest.approx(measure.GetHausdorffDistance(), rel=1e-6)


def test_areas_of_a_box_are_its_faces_with_corners_and_edges_cut():
    sides_mm = [n * s for n, s in zip((20, 14, 10), SPACING, strict=True)]
    mask = box((30, 20, 16), (4, 3, 3), (24, 17, 13))
    forward, _ = surface_distances(mask, mask, SPACING)
    faces = 2 * (sides_mm[0] * sides_mm[1] + sides_mm[1] * sides_mm[2] + sides_mm[0] * sides_mm[2])
    assert 0.85 * faces < forward.areas_mm2.sum() < faces


def test_percentile_is_weighted_by_area():
    distances = surface_distance.SurfaceDistances(np.array([5.0, 1.0, 3.0]), np.array([1.0, 90.0, 9.0]))
    assert distances.percentile_mm(90) == 1.0
    assert distances.percentile_mm(95) == 3.0
    assert distances.percentile_mm(99.5) == 5.0
    assert distances.percentile_mm(100) == 5.0
    assert distances.area_within_mm2(3.0) == 99.0


def test_scores_are_symmetric_and_perfect_on_equal_masks(two_blobs):
    first, second = two_blobs
    one = surface_scores(first, second, SPACING, tolerance_mm=1.0)
    two = surface_scores(second, first, SPACING, tolerance_mm=1.0)
    assert one.hd95_mm == pytest.approx(two.hd95_mm)
    assert one.surface_dice == pytest.approx(two.surface_dice)
    assert surface_scores(first, first, SPACING, tolerance_mm=1.0) == SurfaceScores(0.0, 1.0)


def test_a_missed_or_invented_organ_costs_the_scans_diagonal_and_an_absent_one_is_not_counted():
    reference = np.zeros((30, 40, 20), dtype=np.uint8)
    prediction = reference.copy()
    reference[3:6, 3:6, 3:6] = 1
    prediction[9:12, 3:6, 3:6] = 2
    scores = surface_scores_per_label(reference, prediction, [1, 2, 3], (1.0, 2.0, 3.0), tolerance_mm=2.0)
    diagonal_mm = math.sqrt(30**2 + 80**2 + 60**2)
    assert scores[1] == scores[2] == SurfaceScores(pytest.approx(diagonal_mm), 0.0)
    assert scores[3] == SurfaceScores(None, None)
    assert scan_diagonal_mm((3, 4, 12), (1.0, 1.0, 1.0)) == 13.0


def test_boxes_around_organs_do_not_change_the_scores(two_blobs):
    shape = (40, 30, 25)
    reference, prediction = np.zeros((2, *shape), dtype=np.int16)
    place = tuple(slice(9, 9 + n) for n in two_blobs[0].shape)
    reference[place][two_blobs[0]] = 300
    prediction[place][two_blobs[1]] = 300
    prediction[39, 29, 24] = 4
    whole = surface_scores(reference == 300, prediction == 300, SPACING, tolerance_mm=1.0)
    boxed = surface_scores_per_label(reference, prediction, [4, 300], SPACING, tolerance_mm=1.0)[300]
    assert boxed.hd95_mm == pytest.approx(whole.hd95_mm, rel=1e-6)
    assert boxed.surface_dice == pytest.approx(whole.surface_dice, rel=1e-6)


def test_a_mask_at_the_scans_border_has_a_surface_there():
    first = box((6, 6, 6), (0, 0, 0), (6, 6, 6))
    second = box((6, 6, 6), (0, 0, 0), (3, 6, 6))
    assert surface_scores(first, second, (1.0, 1.0, 1.0), tolerance_mm=0.5).hd95_mm == 3.0


def test_distances_of_an_empty_mask_are_refused():
    empty, full = np.zeros((3, 3, 3), bool), np.ones((3, 3, 3), bool)
    with pytest.raises(ValueError, match="no surface"):
        surface_distances(empty, full, SPACING)
    with pytest.raises(ValueError, match="differ in shape"):
        surface_scores_per_label(
            np.zeros((2, 2, 2), int), np.zeros((2, 2, 3), int), [1], SPACING, tolerance_mm=1
        )
