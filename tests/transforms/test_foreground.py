import numpy as np
import pytest

from mixcl_auto.errors import DataError
from mixcl_auto.transforms.foreground import foreground_coordinates


def case_labels():
    labels = np.zeros((9, 8, 7), np.int16)
    labels[1:8, 1:7, 1:3] = 2
    labels[4, 5, 5] = 300
    labels[0, 0, :4] = -3
    return labels


def draw(labels, wanted, limit=10, seed=0):
    return foreground_coordinates(labels, wanted, limit=limit, generator=np.random.default_rng(seed))


def test_small_classes_come_whole_and_large_ones_up_to_the_limit():
    labels = case_labels()
    drawn = draw(labels, [2, 300, -3, 5])
    assert {label: len(voxels) for label, voxels in drawn.items()} == {-3: 4, 2: 10, 5: 0, 300: 1}
    assert drawn[300].tolist() == [[4, 5, 5]]
    np.testing.assert_array_equal(drawn[-3], np.argwhere(labels == -3))
    assert drawn[5].shape == (0, 3)
    for label, voxels in drawn.items():
        assert voxels.dtype == np.int16
        assert (labels[tuple(voxels.T.astype(int))] == label).all()


def test_voxels_are_distinct_and_sorted():
    voxels = draw(case_labels(), [2], limit=40)[2]
    flat = np.ravel_multi_index(tuple(voxels.T.astype(int)), (9, 8, 7))
    assert (np.diff(flat) > 0).all()


def test_the_generator_decides_and_nothing_else():
    labels = case_labels()
    first = draw(labels, [2, 0], seed=3)
    np.testing.assert_array_equal(draw(labels, [0, 2], seed=3)[2], first[2])
    np.testing.assert_array_equal(draw(np.asfortranarray(labels), [2, 0], seed=3)[0], first[0])
    assert not np.array_equal(draw(labels, [2, 0], seed=4)[2], first[2])


def test_every_voxel_of_a_class_is_equally_likely():
    labels = np.zeros((4, 5, 3), np.uint8)
    labels[1:3] = 1
    generator = np.random.default_rng(5)
    hits = np.zeros(labels.shape)
    draws = 3000
    for _ in range(draws):
        voxels = foreground_coordinates(labels, [1], limit=6, generator=generator)[1]
        hits[tuple(voxels.T.astype(int))] += 1
    expected = draws * 6 / 30
    assert np.abs(hits[1:3] - expected).max() < 5 * np.sqrt(expected)
    assert hits.sum() == draws * 6


def test_no_class_wanted_gives_nothing():
    assert draw(case_labels(), []) == {}


def test_bad_arguments_are_named():
    with pytest.raises(DataError, match="limit must be at least 1, got 0"):
        draw(case_labels(), [2], limit=0)
    with pytest.raises(DataError, match="labels must be integers"):
        draw(case_labels().astype(np.float32), [2])
