import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mixcl_auto.errors import DataError
from mixcl_auto.transforms.weight_map import (
    boundary_codes,
    decode_distance,
    distance_table,
    distance_to_boundary,
    encode_distance,
    weight_map,
)


def literal_distance(labels, spacing=(1.0, 1.0, 1.0)):
    voxels = np.argwhere(np.ones(labels.shape, bool)) * np.array(spacing)
    flat = labels.ravel()
    distance = np.zeros(flat.size)
    for i in range(flat.size):
        others = voxels[flat != flat[i]]
        distance[i] = np.sqrt(((others - voxels[i]) ** 2).sum(axis=1)).min()
    return distance.reshape(labels.shape)


@pytest.mark.parametrize("spacing", [None, (1.5, 0.8, 2.0)])
def test_distance_is_that_to_the_nearest_voxel_of_another_label(spacing):
    labels = np.zeros((7, 8, 6), np.uint8)
    labels[1:5, 2:6, 1:4] = 1
    labels[3:6, 4:7, 2:6] = 2
    labels[0, 0, 0] = 255
    expected = literal_distance(labels, spacing or (1.0, 1.0, 1.0))
    np.testing.assert_allclose(distance_to_boundary(labels, spacing_mm=spacing), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.int64])
def test_distance_does_not_depend_on_which_labels_or_types_are_used(dtype):
    pattern = np.random.default_rng(1).integers(0, 4, (6, 5, 7))
    info = np.iinfo(dtype)
    for values in ([0, 1, 2, 3], [info.min, 5, 7, info.max - 1]):
        labels = np.array(values).astype(dtype)[pattern]
        expected = distance_to_boundary(pattern.astype(np.uint8))
        np.testing.assert_array_equal(distance_to_boundary(labels), expected)
        np.testing.assert_array_equal(distance_to_boundary(np.asfortranarray(labels)), expected)


def test_distance_equals_scipys_of_every_label():
    labels = ndimage.zoom(np.random.default_rng(2).integers(0, 5, (4, 4, 4)), 6, order=0).astype(np.uint8)
    expected = sum(ndimage.distance_transform_edt(labels == label) for label in range(5))
    distance = distance_to_boundary(labels)
    np.testing.assert_allclose(distance, expected, rtol=1e-6)
    assert distance.min() == 1.0


def test_neighbours_of_another_label_are_one_voxel_away_and_the_scans_border_is_no_boundary():
    labels = np.array([0, 0, 0, 1, 1], np.uint8).reshape(5, 1, 1)
    assert distance_to_boundary(labels).ravel().tolist() == [3, 2, 1, 1, 2]


@pytest.mark.parametrize("label", [0, 1, 255])
def test_one_label_alone_has_no_boundary(label):
    assert not distance_to_boundary(np.full((3, 4, 5), label, np.uint8)).any()


def boxes(generator, shape, count, values):
    """A volume of 0 with boxes of other labels, some of them cut off by its border."""
    labels = np.zeros(shape, np.int16)
    for _ in range(count):
        start = [int(generator.integers(0, side)) for side in shape]
        reach = [int(generator.integers(1, max(2, side // 2))) for side in shape]
        box = tuple(slice(a, a + b) for a, b in zip(start, reach, strict=True))
        labels[box] = generator.choice(values)
    return labels


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 40)] * 3),
    count=st.integers(0, 9),
    values=st.sampled_from([[1], [1, 2, 3], [0, 7, 300], [-5, 0, 32767]]),
    seed=st.integers(0, 2**32 - 1),
)
def test_codes_measured_at_once_are_those_of_the_encoded_distance(shape, count, values, seed):
    labels = boxes(np.random.default_rng(seed), shape, count, values)
    np.testing.assert_array_equal(boundary_codes(labels), encode_distance(distance_to_boundary(labels)))


@pytest.mark.parametrize("shape", [(400, 5, 3), (5, 400, 3), (3, 5, 400), (1, 190, 260)])
@pytest.mark.parametrize("background", [0, 3])
def test_codes_measured_at_once_saturate_as_the_encoded_distance(shape, background):
    labels = np.full(shape, background, np.uint8)
    labels[:2, :2, :2] = 1
    labels[:1, 1:3, 1:3] = 2
    codes = boundary_codes(labels)
    np.testing.assert_array_equal(codes, encode_distance(distance_to_boundary(labels)))
    assert codes.max() == 255


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64])
def test_codes_measured_at_once_do_not_depend_on_type_or_memory_order(dtype):
    labels = np.random.default_rng(3).integers(0, 3, (9, 7, 8)).astype(dtype)
    expected = encode_distance(distance_to_boundary(labels))
    np.testing.assert_array_equal(boundary_codes(labels), expected)
    np.testing.assert_array_equal(boundary_codes(np.asfortranarray(labels)), expected)


def test_codes_measured_at_once_can_be_of_mm():
    labels = boxes(np.random.default_rng(4), (20, 15, 18), 4, [1, 2])
    spacing_mm = (0.7, 0.9, 2.3)
    expected = encode_distance(distance_to_boundary(labels, spacing_mm=spacing_mm))
    np.testing.assert_array_equal(boundary_codes(labels, spacing_mm=spacing_mm), expected)


def test_codes_of_one_label_alone_are_0_and_other_types_are_refused():
    assert not boundary_codes(np.full((4, 5, 6), 3, np.uint8)).any()
    with pytest.raises(DataError, match="labels must be integers, got float64"):
        boundary_codes(np.zeros((2, 2, 2)))


def test_weight_peaks_at_half_mu_with_the_papers_value():
    distance = np.linspace(0.0, 60.0, 2401)
    weight = weight_map(distance)
    assert distance[weight.argmax()] == 4.0
    assert weight.max() == pytest.approx(0.5 * 2 * math.exp(-0.5) + 0.05)
    assert weight_map(np.array([1.0]))[0] == pytest.approx(0.5 * math.exp(-1 / 8) + 0.05)


def test_weight_follows_mu_and_epsilon():
    weight = weight_map(np.array([9.0]), mu=3.0, epsilon=0.2)
    assert weight[0] == pytest.approx(1.5 * math.exp(-3) + 0.2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_boundary_and_infinity_weigh_epsilon(dtype):
    distance = np.array([0.0, np.inf, 1e30], dtype)
    weight = weight_map(distance)
    assert weight.dtype == dtype
    np.testing.assert_array_equal(weight, np.full(3, 0.05, dtype))
    assert np.isinf(distance[1])


def test_codes_are_exact_at_their_steps():
    codes = np.arange(256, dtype=np.uint8)
    table = distance_table()
    np.testing.assert_array_equal(encode_distance(table), codes)
    np.testing.assert_array_equal(decode_distance(codes), table)
    assert table[0] == 0.0
    assert table[128] == 32.0
    assert table[255] >= 150.0
    assert (np.diff(table) > 0).all()
    assert (np.diff(table[:129]) == 0.25).all()


def test_the_round_trip_keeps_the_promised_precision():
    distance = np.linspace(1.0, 159.5, 40001).astype(np.float32)
    error = np.abs(decode_distance(encode_distance(distance)) - distance)
    assert error[distance <= 32].max() <= 0.125
    assert error.max() <= 0.5
    weight_error = np.abs(weight_map(decode_distance(encode_distance(distance))) - weight_map(distance))
    assert weight_error.max() < 0.025


def test_distances_beyond_the_table_saturate_and_tiny_ones_stay_a_boundary():
    assert encode_distance(np.array([0.0, 1e-4, 500.0, np.inf], np.float32)).tolist() == [0, 1, 255, 255]


def test_codes_are_monotonous():
    codes = encode_distance(np.linspace(0, 300, 100001).astype(np.float32)).astype(int)
    assert (np.diff(codes) >= 0).all()


def test_bad_arguments_are_named():
    with pytest.raises(DataError, match="labels must be integers, got float64"):
        distance_to_boundary(np.zeros((2, 2, 2)))
    with pytest.raises(DataError, match="labels must be a volume"):
        distance_to_boundary(np.zeros((2, 2), np.uint8))
    with pytest.raises(DataError, match="mu must be positive"):
        weight_map(np.ones(3), mu=0.0)
