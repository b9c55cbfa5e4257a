import itertools

import numpy as np
import pytest

from mixcl_auto.transforms.kernels.argmax_upsampling import (
    blend_rows_argmax,
    interpolate_rows,
    largest_class,
    shared_classes,
)


def clipped(index, size):
    return min(index, size - 1)


@pytest.mark.parametrize("channels_last", [False, True])
def test_largest_class_is_the_first_maximum(channels_last):
    scores = np.random.default_rng(0).integers(0, 3, (6, 5, 33)).astype(np.float32)
    stored = np.moveaxis(np.ascontiguousarray(np.moveaxis(scores, 0, -1)), -1, 0) if channels_last else scores
    out = np.empty((5, 33), np.uint8)
    largest_class(stored, out)
    np.testing.assert_array_equal(out, scores.argmax(axis=0))


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 1), (9, 12)])
def test_shared_classes_equal_a_literal_loop_to_the_border(shape):
    below, above = (np.random.default_rng(1).random((2, *shape)) < 0.15).astype(np.uint8) * 255
    out, mixed = np.empty(shape, np.int16), np.empty(shape[0], np.bool_)
    shared_classes(below, above, out, mixed)
    expected, sides = np.empty(shape, np.int16), np.zeros(shape[0], np.bool_)
    for y, z in itertools.product(*map(range, shape)):
        y1, z1 = clipped(y + 1, shape[0]), clipped(z + 1, shape[1])
        corners = {int(plane[a, b]) for plane in (below, above) for a in (y, y1) for b in (z, z1)}
        expected[y, z] = corners.pop() if len(corners) == 1 else -1
        if expected[y, z] == -1:
            sides[[y, y1]] = True
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(mixed, sides)


def test_only_wanted_rows_that_are_not_ready_are_interpolated():
    scores = np.random.default_rng(2).normal(size=(3, 4, 5)).astype(np.float32)
    wanted, ready = np.array([True, True, False, True]), np.array([False, True, False, False])
    lower, fraction = np.array([0, 0, 3, 4]), np.array([0.0, 0.25, 0.5, 0.0], np.float32)
    out = np.full((3, 4, 4), np.nan, np.float32)
    interpolate_rows(scores, wanted, ready, lower, fraction, out)
    assert ready.tolist() == [True, True, False, True]
    assert np.isnan(out[:, [1, 2]]).all()
    expected = np.stack(
        [np.interp([0, 0.25, 3.5, 4], range(5), line) for line in scores[:, [0, 3]].reshape(6, 5)]
    )
    np.testing.assert_allclose(out[:, [0, 3]].reshape(6, 4), expected, atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_blended_rows_equal_a_literal_loop_and_shared_cells_keep_their_class(share):
    generator = np.random.default_rng(3)
    below, above = generator.normal(size=(2, 4, 3, 8)).astype(np.float32)
    shared = np.where(generator.random((3, 6)) < share, np.int16(-1), np.int16(200))
    lower_y, fraction_y = np.array([0, 0, 1, 2]), np.array([0.0, 0.75, 0.5, 0.0], np.float32)
    lower_z = np.array([0, 0, 1, 2, 3, 3, 4, 5])
    out = np.empty((4, 8), np.uint8)
    blend_rows_argmax(below, above, shared, np.float32(0.25), lower_y, fraction_y, lower_z, out)
    blended = 0.75 * below + 0.25 * above
    for j, (y, fraction) in enumerate(zip(lower_y, fraction_y, strict=True)):
        row = (1 - fraction) * blended[:, y] + fraction * blended[:, clipped(y + 1, 3)]
        is_mixed = shared[y, lower_z] == -1
        np.testing.assert_array_equal(out[j, is_mixed], row.argmax(axis=0)[is_mixed])
        outside = np.ones(8, bool)
        if is_mixed.any():
            first, last = np.flatnonzero(is_mixed)[[0, -1]]
            outside[first : last + 1] = False
        assert (out[j, outside] == 200).all()
