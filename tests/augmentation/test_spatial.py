import numpy as np
import pytest
from scipy import ndimage
from scipy.interpolate import BSpline

from mixcl_auto.augmentation.control_grid import control_shape
from mixcl_auto.augmentation.spatial import (
    SpatialSettings,
    Warp,
    apply_warp,
    draw_warp,
    region_to_read,
    warp_bounds,
)

TABLE = np.concatenate([np.arange(129) * 0.25, 32.0 + np.arange(1, 128)]).astype(np.float32)
PADDING = -150.0


def scan(shape=(40, 37, 33), seed=0):
    generator = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(generator.normal(size=shape), 2.0)
    image = np.rint(2000 * smooth).astype(np.int16)
    labels = np.digitize(ndimage.gaussian_filter(generator.normal(size=shape), 3.0) * 20, [-0.5, 0.5]).astype(
        np.uint8
    )
    return image, labels, generator.integers(0, 256, shape).astype(np.uint8)


def spline_displacement(warp):
    """Evaluate u(j) with scipy's B-splines, (x, y, z, 3)."""
    field = warp.control
    for axis, size in enumerate(warp.patch_size):
        count = warp.control.shape[axis]
        intervals = count - 3
        place = (np.arange(size) - (size - 1) / 2) / warp.control_spacing_voxels + intervals / 2
        knots = np.arange(-3, intervals + 4, dtype=float)
        columns = [BSpline(knots, np.eye(count)[i], 3, extrapolate=True)(place) for i in range(count)]
        field = np.moveaxis(np.tensordot(np.stack(columns, axis=1), field, axes=(1, axis)), 0, axis)
    return field


def literal_sources(warp, centre):
    """Return source(j) in voxels of the scan, (x, y, z, 3), by the module's equation."""
    size = np.array(warp.patch_size)
    voxels = np.stack(np.meshgrid(*[np.arange(n) for n in size], indexing="ij"), axis=-1)
    offset = voxels - (size - 1) / 2
    affine = np.eye(3) if warp.affine is None else warp.affine
    bend = 0.0 if warp.control is None else spline_displacement(warp)
    return np.asarray(centre) - size // 2 + (size - 1) / 2 + offset @ affine.T + bend


def literal_patch(warp, image, labels, codes, centre):
    sources = literal_sources(warp, centre)
    margin = 60
    grid = np.moveaxis(sources, -1, 0) + margin

    def linear(values, fill):
        padded = np.pad(values.astype(np.float64), margin, constant_values=fill)
        return ndimage.map_coordinates(padded, grid, order=1, mode="nearest")

    padded_labels = np.pad(labels, margin)
    return (
        linear(image, PADDING),
        padded_labels[tuple(np.floor(grid + 0.5).astype(int))],
        linear(TABLE[codes], 0.0),
    )


def run(warp, arrays, centre, region=None):
    start, stop = region or region_to_read(warp, centre, arrays[0].shape)
    cut = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    parts = [array[cut] for array in arrays]
    return apply_warp(warp, *parts, TABLE, centre=centre, region_origin=start, padding=PADDING)


def drawn(patch_size, seed, **changes):
    settings = SpatialSettings(**{"elastic_probability": 1.0, "affine_probability": 1.0, **changes})
    return draw_warp(patch_size, settings, np.random.default_rng(seed), spacing_mm=(1.5, 1.5, 2.0))


@pytest.mark.parametrize("patch_size", [(16, 16, 16), (15, 20, 8), (30, 1, 27)])
@pytest.mark.parametrize("centre", [(20, 18, 16), (2, 36, 5), (39, 0, 32)])
@pytest.mark.parametrize("seed", [1, 2])
def test_warped_arrays_equal_a_literal_implementation_inside_and_at_the_scans_border(
    patch_size, centre, seed
):
    arrays = scan(seed=seed)
    warp = drawn(patch_size, seed, elastic_control_spacing_voxels=10.0)
    image, labels, distance = run(warp, arrays, centre)
    expected_image, expected_labels, expected_distance = literal_patch(warp, *arrays, centre)
    assert image.dtype == distance.dtype == np.float32
    assert labels.dtype == np.uint8
    np.testing.assert_allclose(image, expected_image, rtol=0, atol=0.02)
    np.testing.assert_allclose(distance, expected_distance, rtol=0, atol=0.02)
    assert (labels != expected_labels).sum() <= 1e-3 * labels.size


@pytest.mark.parametrize(
    "changes", [{"elastic_probability": 0.0}, {"affine_probability": 0.0}], ids=["affine", "elastic"]
)
def test_either_warp_works_alone(changes):
    arrays = scan()
    warp = drawn((18, 17, 16), 5, **changes)
    assert (warp.control is None) == ("elastic_probability" in changes)
    assert (warp.affine is None) == ("affine_probability" in changes)
    image, _, _ = run(warp, arrays, (20, 19, 15))
    np.testing.assert_allclose(image, literal_patch(warp, *arrays, (20, 19, 15))[0], rtol=0, atol=0.02)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("patch_size", [(32, 32, 32), (33, 20, 9)])
def test_bounds_hold_every_voxel_that_interpolation_reads_and_little_more(patch_size, seed):
    warp = drawn(patch_size, seed, elastic_displacement_voxels=8.0)
    lower, upper = warp_bounds(warp)
    sources = literal_sources(warp, (0, 0, 0)).reshape(-1, 3)
    read_first, read_last = np.floor(sources.min(axis=0)), np.floor(sources.max(axis=0)) + 1
    assert (np.array(lower) <= read_first).all()
    assert (np.array(upper) > read_last).all()
    assert (read_first - np.array(lower)).max() <= 3
    assert (np.array(upper) - 1 - read_last).max() <= 3


def test_a_larger_region_changes_nothing():
    arrays = scan()
    warp, centre = drawn((12, 14, 10), 3), (21, 17, 15)
    whole = run(warp, arrays, centre, ((0, 0, 0), arrays[0].shape))
    for part, full in zip(run(warp, arrays, centre), whole, strict=True):
        np.testing.assert_allclose(part, full, rtol=0, atol=1e-3)


def test_where_the_scan_has_tissue_no_padding_comes_in():
    image = np.full((60, 60, 60), 40, np.int16)
    arrays = (image, np.ones(image.shape, np.uint8), np.full(image.shape, 8, np.uint8))
    for seed in range(10):
        warped, labels, distance = run(drawn((24, 24, 24), seed), arrays, (30, 30, 30))
        np.testing.assert_allclose(warped, 40.0, rtol=1e-6)
        assert (labels == 1).all()
        np.testing.assert_allclose(distance, 2.0, rtol=1e-6)


@pytest.mark.parametrize("centre", [(20, 18, 16), (0, 36, 3), (38, 2, 32)])
@pytest.mark.parametrize("patch_size", [(12, 12, 12), (13, 7, 50)])
def test_the_identity_is_exactly_slicing_and_padding(patch_size, centre):
    arrays = scan()
    warp = Warp(patch_size)
    margin = 60
    cut = tuple(
        slice(c - n // 2 + margin, c - n // 2 + n + margin) for c, n in zip(centre, patch_size, strict=True)
    )
    image, labels, distance = run(warp, arrays, centre)
    np.testing.assert_array_equal(image, np.pad(arrays[0], margin, constant_values=-150)[cut])
    np.testing.assert_array_equal(labels, np.pad(arrays[1], margin)[cut])
    np.testing.assert_array_equal(distance, np.pad(TABLE[arrays[2]], margin)[cut])
    assert image.dtype == np.float32


def test_a_warp_of_identity_matrix_and_no_displacement_equals_the_identity():
    arrays = scan()
    patch_size, centre = (12, 13, 14), (3, 20, 30)
    still = Warp(patch_size, np.eye(3), np.zeros((*control_shape(patch_size, 24.0), 3)))
    for warped, plain in zip(run(still, arrays, centre), run(Warp(patch_size), arrays, centre), strict=True):
        np.testing.assert_array_equal(warped, plain)


@pytest.mark.parametrize("size", [10, 11])
def test_a_rotation_by_90_degrees_is_numpys(size):
    arrays = scan()
    # Patch axis x runs along the scan's y, patch axis y along the scan's -x.
    quarter = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    patch_size, centre = (size, size, size), (20, 18, 16)
    plain = run(Warp(patch_size), arrays, centre)
    for turned, straight in zip(run(Warp(patch_size, quarter), arrays, centre), plain, strict=True):
        np.testing.assert_allclose(turned, np.rot90(straight, -1, (0, 1)), rtol=0, atol=1e-3)


def test_a_translation_by_whole_voxels_moves_the_patch_against_the_displacement():
    arrays = scan()
    patch_size = (10, 10, 10)
    control = np.zeros((*control_shape(patch_size, 24.0), 3))
    control[..., 0], control[..., 2] = 2.0, -3.0
    moved = run(Warp(patch_size, None, control), arrays, (18, 18, 18))
    for shifted, plain in zip(moved, run(Warp(patch_size), arrays, (20, 18, 15)), strict=True):
        np.testing.assert_allclose(shifted, plain, rtol=0, atol=1e-3)


def test_a_displacement_by_three_quarters_of_a_voxel_worked_by_hand():
    image = np.arange(8, dtype=np.int16).reshape(8, 1, 1) * 10
    labels, codes = np.arange(8, dtype=np.uint8).reshape(8, 1, 1), np.full((8, 1, 1), 4, np.uint8)
    control = np.zeros((*control_shape((4, 1, 1), 24.0), 3))
    control[..., 0] = 0.75
    warped, nearest, distance = run(Warp((4, 1, 1), None, control), (image, labels, codes), (6, 0, 0))
    # The patch is voxels 4 to 7, read at 4.75 to 7.75; three quarters of the last come from the padding.
    np.testing.assert_allclose(warped.ravel(), [47.5, 57.5, 67.5, 0.25 * 70 - 0.75 * 150], atol=1e-4)
    np.testing.assert_allclose(distance.ravel(), [1, 1, 1, 0.25], atol=1e-6)
    assert nearest.ravel().tolist() == [5, 6, 7, 0]


def test_scale_enlarges_structures():
    arrays = [np.zeros((60, 60, 60), dtype) for dtype in (np.int16, np.uint8, np.uint8)]
    arrays[1][25:35, 25:35, 25:35] = 1
    warp = drawn((40, 40, 40), 0, elastic_probability=0.0, rotation_degrees=0.0, scale=(1.2, 1.2))
    _, labels, _ = run(warp, arrays, (30, 30, 30))
    assert labels.sum() == 12**3


def test_rotations_turn_anatomy_in_mm():
    warp = draw_warp(
        (20, 20, 20),
        SpatialSettings(elastic_probability=0.0, affine_probability=1.0, scale=(1.0, 1.0)),
        np.random.default_rng(2),
        spacing_mm=(1.0, 2.0, 5.0),
    )
    spacing = np.diag([1.0, 2.0, 5.0])
    rotation_mm = spacing @ warp.affine @ np.linalg.inv(spacing)
    np.testing.assert_allclose(rotation_mm @ rotation_mm.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation_mm) == pytest.approx(1.0)
    assert not np.allclose(rotation_mm, np.eye(3))


def test_angles_and_scales_stay_within_their_ranges():
    settings = SpatialSettings(elastic_probability=0.0, affine_probability=1.0)
    generator = np.random.default_rng(3)
    scales, angles = [], []
    for _ in range(300):
        inverse = draw_warp((9, 9, 9), settings, generator).affine
        scales.append(np.linalg.det(inverse) ** (-1 / 3))
        angles.append(np.degrees(np.arccos((np.trace(inverse) * scales[-1] - 1) / 2)))
    assert 0.85 <= min(scales) < 0.88
    assert 1.22 < max(scales) <= 1.25
    # Three rotations of at most 15 degrees each turn by at most 45 together.
    assert 15.0 < max(angles) < 45.0


@pytest.mark.parametrize("patch_size", [(32, 32, 32), (96, 48, 64)])
def test_displacements_are_smooth_bounded_and_do_not_fold(patch_size):
    largest = []
    for seed in range(6):
        warp = drawn(patch_size, seed, affine_probability=0.0)
        field = spline_displacement(warp)
        largest.append(np.sqrt((field**2).sum(axis=-1)).max())
        gradients = [np.gradient(field[..., axis]) for axis in range(3)]
        jacobian = np.moveaxis(np.array(gradients), (0, 1), (-2, -1)) + np.eye(3)
        assert np.linalg.det(jacobian).min() > 0.1
        second = np.abs(np.diff(field, 2, axis=0)).max()
        assert second < 0.2
    assert max(largest) <= 6.3
    assert max(largest) > 2.0


def test_the_largest_displacement_is_uniform_up_to_the_setting():
    sizes = []
    for seed in range(40):
        warp = drawn((32, 32, 32), seed, affine_probability=0.0)
        sizes.append(np.sqrt((spline_displacement(warp) ** 2).sum(axis=-1)).max())
    assert min(sizes) < 1.0
    assert max(sizes) > 5.0
    assert 2.2 < np.mean(sizes) < 3.9


def test_warps_come_with_their_probabilities():
    generator = np.random.default_rng(4)
    warps = [draw_warp((8, 8, 8), SpatialSettings(), generator) for _ in range(400)]
    elastic = np.array([warp.control is not None for warp in warps])
    affine = np.array([warp.affine is not None for warp in warps])
    assert 0.4 < elastic.mean() < 0.6
    assert 0.4 < affine.mean() < 0.6
    assert 0.18 < (elastic & affine).mean() < 0.32
    assert draw_warp((8, 8, 8), SpatialSettings(0.0, 0.0), generator).is_identity
    always = draw_warp((8, 8, 8), SpatialSettings(0.0, 0.0).always(), generator)
    assert always.affine is not None
    assert always.control is not None


def test_the_generator_determines_the_patch_bit_for_bit():
    arrays = scan()
    first, again, other = (run(drawn((16, 16, 16), seed), arrays, (20, 18, 16)) for seed in (7, 7, 8))
    for one, two, three in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(one, three)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int32])
def test_image_types_agree(dtype):
    image, labels, codes = scan()
    warp, centre = drawn((12, 12, 12), 9), (20, 18, 16)
    expected = run(warp, (image, labels, codes), centre)[0]
    converted = run(warp, (np.asfortranarray(image.astype(dtype)), labels.astype(np.int16), codes), centre)
    np.testing.assert_allclose(converted[0], expected, rtol=0, atol=0.6 if dtype == np.float16 else 1e-3)
    assert converted[1].dtype == np.int16


def test_a_scan_thinner_than_the_patch_is_padded():
    arrays = scan(shape=(40, 37, 3))
    warp, centre = drawn((16, 16, 16), 1), (20, 18, 1)
    image, labels, distance = run(warp, arrays, centre)
    expected = literal_patch(warp, *arrays, centre)
    np.testing.assert_allclose(image, expected[0], rtol=0, atol=0.02)
    assert (labels != expected[1]).mean() < 1e-3
    np.testing.assert_allclose(distance, expected[2], rtol=0, atol=0.02)
    assert (image == PADDING).mean() > 0.3


def test_a_region_lies_inside_the_scan_and_is_never_empty():
    warp = Warp((8, 8, 8))
    assert region_to_read(warp, (1, 20, 39), (40, 37, 41)) == ((0, 16, 35), (5, 24, 41))
    assert region_to_read(warp, (100, -50, 0), (40, 37, 1)) == ((39, 0, 0), (40, 1, 1))
    image, _, _ = run(warp, scan(), (100, -50, 0))
    assert (image == PADDING).all()


def test_neither_region_nor_table_is_changed():
    arrays = scan()
    copies = [array.copy() for array in arrays]
    table = TABLE.copy()
    run(drawn((12, 12, 12), 2), arrays, (20, 18, 16))
    for array, copy in zip([*arrays, TABLE], [*copies, table], strict=True):
        np.testing.assert_array_equal(array, copy)
