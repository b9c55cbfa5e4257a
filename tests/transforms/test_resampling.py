from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mixcl_auto.errors import DataError
from mixcl_auto.transforms import grids
from mixcl_auto.transforms.resampling import (
    resample_image,
    resample_image_to_shape,
    resample_labels,
    resample_labels_to_shape,
    resampled_shape,
)


def centres(size, count, spacing, target):
    return np.clip((np.arange(count) + 0.5) * target / spacing - 0.5, -0.5, size - 0.5)


def literal_image(image, spacing, target):
    shape = resampled_shape(image.shape, spacing, target)
    axes = [centres(*values) for values in zip(image.shape, shape, spacing, target, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    return ndimage.map_coordinates(image.astype(np.float64), grid, order=3, mode="mirror")


def literal_label_weights(labels, spacing, target, shape=None):
    shape = shape or resampled_shape(labels.shape, spacing, target)
    axes = [centres(*values) for values in zip(labels.shape, shape, spacing, target, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    values = np.unique(labels)
    masks = [(labels == value).astype(np.float64) for value in values]
    weights = np.stack([ndimage.map_coordinates(mask, grid, order=1, mode="nearest") for mask in masks])
    return values, weights


CASES = [
    ((23, 31, 17), (0.8, 0.8, 2.5), (1.5, 1.5, 2.0)),
    ((12, 9, 30), (3.0, 3.0, 1.0), (1.5, 1.5, 2.0)),
    ((40, 5, 7), (0.5, 2.0, 5.0), (2.1, 1.3, 5.0)),
    ((2, 3, 1), (1.0, 1.0, 1.0), (0.4, 0.7, 0.3)),
    ((1, 1, 9), (2.0, 4.0, 1.0), (1.5, 1.5, 2.0)),
    ((230, 4, 3), (0.6, 1.0, 1.0), (1.5, 0.3, 0.9)),
]


@pytest.mark.parametrize(("shape", "spacing", "target"), CASES)
def test_cubic_resampling_equals_scipy_up_to_the_border(shape, spacing, target):
    image = np.random.default_rng(1).integers(-1024, 2000, shape).astype(np.int16)
    resampled = resample_image(image, spacing, target)
    assert resampled.dtype == np.float32
    assert resampled.flags.c_contiguous
    np.testing.assert_allclose(resampled, literal_image(image, spacing, target), rtol=0, atol=4e-3)


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64, np.uint8, np.int32])
def test_image_types_and_memory_orders_agree(dtype):
    image = np.random.default_rng(2).integers(0, 200, (13, 10, 12)).astype(dtype)
    expected = resample_image(image.astype(np.float32), (1.0, 1.2, 2.0), (1.5, 1.5, 1.5))
    np.testing.assert_array_equal(resample_image(image, (1.0, 1.2, 2.0), (1.5, 1.5, 1.5)), expected)
    for view in (np.asfortranarray(image), np.repeat(image, 2, axis=1)[:, ::2], image[::-1][::-1]):
        resampled = resample_image(view, (1.0, 1.2, 2.0), (1.5, 1.5, 1.5))
        assert resampled.flags.c_contiguous
        np.testing.assert_allclose(resampled, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("order", permutations(range(3)))
def test_views_with_any_axes_permuted_or_flipped_are_read_as_they_are(order):
    image = np.random.default_rng(4).integers(-99, 99, (40, 37, 42)).astype(np.int16)
    labels = np.abs(image) // 40
    spacing, target = (1.0, 1.2, 2.0), (1.5, 1.3, 1.7)
    expected = literal_image(image, spacing, target), resample_labels(labels, spacing, target)
    for flips in product((1, -1), repeat=3):
        steps = tuple(slice(None, None, step) for step in flips)
        for volume, resample, wanted in zip(
            (image, labels), (resample_image, resample_labels), expected, strict=True
        ):
            stored = volume[steps].transpose(order).copy()
            view = stored.transpose(np.argsort(order))[steps]
            resampled = resample(view, spacing, target)
            assert resampled.flags.c_contiguous
            np.testing.assert_allclose(resampled, wanted, rtol=0, atol=1e-3)


@pytest.mark.parametrize("memory_order", ["C", "F"])
@pytest.mark.parametrize("target", [(1.5, 1.3, 1.7), (0.7, 1.2, 2.0), (1.0, 1.2, 0.9), (1.0, 1.2, 2.0)])
def test_slabs_leave_no_seam(monkeypatch, memory_order, target):
    image = np.random.default_rng(5).integers(-99, 99, (40, 37, 70)).astype(np.int16, order=memory_order)
    spacing = (1.0, 1.2, 2.0)
    whole = resample_image(image, spacing, target)
    monkeypatch.setattr(grids, "_SLAB_VOXELS", 5000)
    np.testing.assert_array_equal(resample_image(image, spacing, target), whole)


def test_what_becomes_of_the_values_happens_slab_by_slab(monkeypatch):
    image = np.random.default_rng(6).integers(-99, 99, (20, 17, 30)).astype(np.int16)
    seen = []

    def finish(values):
        seen.append(values.size)
        return np.rint(values).astype(np.int16)

    monkeypatch.setattr(grids, "_SLAB_VOXELS", 2000)
    finished = resample_image(image, (1.0, 1.2, 2.0), (1.5, 1.3, 1.7), finish=finish)
    plain = resample_image(image, (1.0, 1.2, 2.0), (1.5, 1.3, 1.7))
    assert finished.dtype == np.int16
    np.testing.assert_array_equal(finished, np.rint(plain))
    assert max(seen) < plain.size / 3
    assert sum(seen) == plain.size


def test_blocks_of_lines_leave_no_seam():
    image = np.random.default_rng(3).normal(size=(3, 11, 401)).astype(np.float32)
    spacing, target = (1.0, 1.0, 1.0), (0.9, 1.7, 1.3)
    np.testing.assert_allclose(
        resample_image(image, spacing, target), literal_image(image, spacing, target), rtol=0, atol=1e-5
    )


def test_equal_spacing_returns_the_values_unchanged_in_a_new_array():
    image = np.random.default_rng(4).normal(size=(4, 5, 6)).astype(np.float32)
    resampled = resample_image(image, (1.5, 1.5, 2.0), (1.5, 1.5, 2.0))
    np.testing.assert_array_equal(resampled, image)
    assert not np.shares_memory(resampled, image)
    header_rounding = tuple(float(np.float32(value)) for value in (1.1, 0.7, 2.3))
    np.testing.assert_array_equal(resample_image(image, header_rounding, (1.1, 0.7, 2.3)), image)


def test_an_axis_with_equal_spacing_is_left_alone():
    image = np.random.default_rng(5).normal(size=(6, 7, 8)).astype(np.float32)
    resampled = resample_image(image, (1.0, 1.0, 2.0), (0.5, 1.0, 2.0))
    for z in range(8):
        expected = resample_image(image[:, :, z : z + 1], (1.0, 1.0, 2.0), (0.5, 1.0, 2.0))
        np.testing.assert_allclose(resampled[:, :, z], expected[:, :, 0], rtol=0, atol=1e-6)


def test_a_constant_stays_constant():
    image = np.full((9, 8, 7), -1000, np.int16)
    np.testing.assert_allclose(resample_image(image, (1, 1, 1), (0.7, 1.9, 0.31)), -1000.0, rtol=1e-6)


def test_a_linear_ramp_inside_keeps_its_physical_position():
    image = np.broadcast_to(np.arange(60, dtype=np.float32)[:, None, None], (60, 2, 2))
    resampled = resample_image(image, (1.0, 1.0, 1.0), (2.0, 1.0, 1.0))
    # Output voxel 10 covers 20 to 22 mm; its centre, 21 mm, lies between input voxels 20 and 21.
    assert resampled[10, 0, 0] == pytest.approx(20.5, abs=1e-4)


def test_cubic_error_on_a_smooth_volume_is_below_linear_error():
    def volume(spacing, shape):
        x, y, z = np.meshgrid(
            *[(np.arange(n) + 0.5) * s for n, s in zip(shape, spacing, strict=True)], indexing="ij"
        )
        return 300 * np.sin(x / 6) * np.cos(y / 7) * np.sin(z / 8 + 1)

    spacing, target, shape = (0.8, 0.8, 2.5), (1.5, 1.5, 2.0), (75, 75, 24)
    image = volume(spacing, shape).astype(np.float32)
    wanted = volume(target, resampled_shape(shape, spacing, target))
    inner = (slice(3, -3),) * 3
    cubic_error = np.sqrt(np.mean((resample_image(image, spacing, target) - wanted)[inner] ** 2))
    axes = [centres(*values) for values in zip(shape, wanted.shape, spacing, target, strict=True)]
    linear = ndimage.map_coordinates(
        image, np.stack(np.meshgrid(*axes, indexing="ij")), order=1, mode="nearest"
    )
    linear_error = np.sqrt(np.mean((linear - wanted)[inner] ** 2))
    assert cubic_error < linear_error / 10


def test_sizes_are_the_rounded_quotient_and_never_zero():
    assert resampled_shape((512, 512, 150), (0.8, 0.8, 2.5), (1.5, 1.5, 2.0)) == (273, 273, 188)
    assert resampled_shape((10, 1, 1), (1, 1, 1), (3, 3, 30)) == (3, 1, 1)


@pytest.mark.parametrize("spacing", [(0.8, 0.8, 2.5), (3.0, 2.2, 0.6), (1.5, 1.5, 2.0)])
def test_a_round_trip_hits_the_original_grid(spacing):
    shape, target = (37, 41, 19), (1.5, 1.5, 2.0)
    x, y, z = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    image = (100 * np.sin(x / 9) + 50 * np.cos(y / 8) + z).astype(np.float32)
    there = resample_image(image, spacing, target)
    back = resample_image_to_shape(there, target, spacing, shape)
    assert back.shape == shape
    assert np.abs(back - image)[3:-3, 3:-3, 3:-3].max() < 2.0
    labels = (image > 0).astype(np.uint8)
    labels_back = resample_labels_to_shape(resample_labels(labels, spacing, target), target, spacing, shape)
    assert labels_back.shape == shape
    assert (labels_back != labels).mean() < 0.05


def test_voxels_beyond_the_extent_repeat_the_border_of_labels():
    labels = np.array([1, 2], np.uint8).reshape(2, 1, 1)
    resampled = resample_labels_to_shape(labels, (1, 1, 1), (1, 1, 1), (5, 1, 1))
    assert resampled.ravel().tolist() == [1, 2, 2, 2, 2]


@pytest.mark.parametrize(("shape", "spacing", "target"), CASES)
@pytest.mark.parametrize(("dtype", "highest"), [(np.uint8, 4), (np.int16, 3000), (np.int64, 70000)])
def test_labels_equal_one_hot_linear_argmax(shape, spacing, target, dtype, highest):
    generator = np.random.default_rng(6)
    coarse = generator.integers(0, 5, [max(1, n // 3) for n in shape]) * (highest // 4)
    labels = ndimage.zoom(coarse, np.array(shape) / coarse.shape, order=0).astype(dtype)
    resampled = resample_labels(labels, spacing, target)
    assert resampled.dtype == dtype
    values, weights = literal_label_weights(labels, spacing, target)
    expected = values[(weights > weights.max(axis=0) - 1e-9).argmax(axis=0)]
    np.testing.assert_array_equal(resampled, expected)
    np.testing.assert_array_equal(resample_labels(np.asfortranarray(labels), spacing, target), expected)


def test_tied_labels_give_the_smallest():
    for pair in ([3, 7], [7, 3]):
        labels = np.array(pair, np.uint8).reshape(2, 1, 1)
        assert resample_labels(labels, (1, 1, 1), (2, 1, 1)).ravel().tolist() == [3]


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(*[st.integers(1, 9)] * 3),
    st.tuples(*[st.floats(0.3, 4.0)] * 3),
    st.tuples(*[st.floats(0.3, 4.0)] * 3),
    st.integers(0, 2**31),
)
def test_any_label_comes_from_the_linear_weights(shape, spacing, target, seed):
    labels = np.random.default_rng(seed).integers(0, 3, shape).astype(np.uint8)
    resampled = resample_labels(labels, spacing, target)
    if resampled.shape == labels.shape and np.allclose(spacing, target, rtol=1e-4, atol=0):
        return
    values, weights = literal_label_weights(labels, spacing, target)
    chosen = np.take_along_axis(weights, np.searchsorted(values, resampled)[None], axis=0)[0]
    assert np.all(chosen >= weights.max(axis=0) - 1e-6)


def test_equal_spacing_copies_labels():
    labels = np.random.default_rng(7).integers(0, 4, (3, 4, 5)).astype(np.int16)
    resampled = resample_labels(labels, (1, 1, 1), (1, 1, 1))
    np.testing.assert_array_equal(resampled, labels)
    assert not np.shares_memory(resampled, labels)


def test_resampling_is_repeatable_bit_for_bit():
    image = np.random.default_rng(8).normal(size=(30, 20, 25)).astype(np.float32)
    first = resample_image(image, (1, 1, 1), (1.3, 0.8, 1.7))
    np.testing.assert_array_equal(first, resample_image(image, (1, 1, 1), (1.3, 0.8, 1.7)))


def test_not_a_number_does_not_crash():
    image = np.full((8, 8, 8), np.nan, np.float32)
    image[:4] = np.inf
    assert resample_image(image, (1, 1, 1), (1.5, 1.5, 1.5)).shape == (5, 5, 5)


def test_bad_arguments_are_named():
    volume = np.zeros((3, 3, 3), np.int16)
    with pytest.raises(DataError, match=r"image must be a volume .* got shape \(3, 3\)"):
        resample_image(volume[0], (1, 1, 1), (1, 1, 1))
    with pytest.raises(DataError, match="labels must be a volume"):
        resample_labels(volume[:0], (1, 1, 1), (1, 1, 1))
    with pytest.raises(DataError, match="target_spacing_mm must be three positive lengths"):
        resample_image(volume, (1, 1, 1), (1, 0, 1))
    with pytest.raises(DataError, match=r"spacing_mm must be three positive lengths in mm, got \[1.0, nan"):
        resample_image(volume, (1, float("nan"), 1), (1, 1, 1))
    with pytest.raises(DataError, match="labels must be integers, got float32"):
        resample_labels(volume.astype(np.float32), (1, 1, 1), (1, 1, 1))
    with pytest.raises(DataError, match="shape must be three sizes of at least 1"):
        resample_image_to_shape(volume, (1, 1, 1), (1, 1, 1), (3, 0, 3))
