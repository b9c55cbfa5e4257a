import itertools

import numpy as np
import pytest

from mixcl_auto.augmentation.orientation import OrientationSettings, reorient

CUBE = np.arange(5**3, dtype=np.float32).reshape(5, 5, 5)


def orientations(shape, settings, count=400, seed=0):
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    generator = np.random.default_rng(seed)
    return image, [reorient(image, image.astype(np.uint8), settings, generator) for _ in range(count)]


def test_image_and_labels_turn_alike_keep_their_shape_and_are_contiguous():
    image, results = orientations((5, 5, 5), OrientationSettings(0.8, 0.5), count=60)
    for turned, labels in results:
        np.testing.assert_array_equal(turned.astype(np.uint8), labels)
        assert turned.shape == image.shape
        assert turned.flags.c_contiguous
        assert labels.flags.c_contiguous
        assert labels.dtype == np.uint8
        assert set(turned.ravel()) == set(image.ravel())


def test_rotations_reach_every_quarter_turn_of_every_plane_of_a_cube():
    image, results = orientations((5, 5, 5), OrientationSettings(1.0, 0.0))
    wanted = {
        np.rot90(image, quarters, plane).tobytes()
        for quarters, plane in itertools.product((1, 2, 3), ((0, 1), (0, 2), (1, 2)))
    }
    assert {turned.tobytes() for turned, _ in results} == wanted


def test_rotations_turn_only_in_planes_of_equal_sides():
    image, results = orientations((5, 5, 3), OrientationSettings(1.0, 0.0))
    wanted = {np.rot90(image, quarters, (0, 1)).tobytes() for quarters in (1, 2, 3)}
    assert {turned.tobytes() for turned, _ in results} == wanted


def test_without_equal_sides_rotations_are_half_turns():
    image, results = orientations((5, 4, 3), OrientationSettings(1.0, 0.0))
    wanted = {np.rot90(image, 2, plane).tobytes() for plane in ((0, 1), (0, 2), (1, 2))}
    assert {turned.tobytes() for turned, _ in results} == wanted


def test_planes_can_be_restricted_to_the_axial_one():
    image, results = orientations((5, 5, 5), OrientationSettings(1.0, 0.0, planes=((0, 1),)))
    wanted = {np.rot90(image, quarters, (0, 1)).tobytes() for quarters in (1, 2, 3)}
    assert {turned.tobytes() for turned, _ in results} == wanted


def test_flips_reach_every_combination_of_axes():
    image, results = orientations((3, 4, 5), OrientationSettings(0.0, 0.5))
    wanted = {
        np.flip(image, axes).tobytes()
        for count in range(4)
        for axes in itertools.combinations(range(3), count)
    }
    assert {turned.tobytes() for turned, _ in results} == wanted


def test_each_comes_with_its_probability():
    _, results = orientations((3, 4, 5), OrientationSettings(0.0, 0.2), count=1500)
    for axis in range(3):
        flipped = [np.diff(turned, axis=axis).mean() < 0 for turned, _ in results]
        assert 0.16 < np.mean(flipped) < 0.24
    _, results = orientations((5, 5, 5), OrientationSettings(0.2, 0.0), count=1000)
    assert 0.16 < np.mean([not np.array_equal(turned, CUBE) for turned, _ in results]) < 0.24


def test_a_quarter_turn_worked_by_hand():
    image = np.zeros((2, 2, 1), np.float32)
    image[0, 0, 0], image[1, 0, 0] = 1.0, 2.0
    settings = OrientationSettings(1.0, 0.0, planes=((0, 1),))
    turns = {
        reorient(image, image, settings, np.random.default_rng(s))[0].ravel().tobytes() for s in range(40)
    }
    # With x as rows and y as columns, [[1, 0], [2, 0]] turns to these.
    by_hand = [[[0, 0], [1, 2]], [[0, 2], [0, 1]], [[2, 1], [0, 0]]]
    assert turns == {np.array(turn, np.float32).tobytes() for turn in by_hand}


def test_inputs_are_left_alone_and_the_generator_decides():
    image, labels = CUBE.copy(), CUBE.astype(np.uint8)
    settings = OrientationSettings(0.9, 0.5)
    one, two, other = (reorient(image, labels, settings, np.random.default_rng(s))[0] for s in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(image, CUBE)


@pytest.mark.parametrize("shape", [(5, 5, 5), (5, 4, 3)])
def test_with_probability_zero_the_values_are_the_same(shape):
    image, results = orientations(shape, OrientationSettings(0.0, 0.0), count=1)
    np.testing.assert_array_equal(results[0][0], image)
