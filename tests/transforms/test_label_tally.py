import numpy as np
import pytest

from mixcl_auto.errors import DataError
from mixcl_auto.transforms.label_tally import tally_labels


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_counts_mean_and_deviation_equal_numpys(dtype):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, (6, 5, 7)).astype(np.uint8)
    image = generator.integers(-1000, 2000, labels.shape).astype(dtype)
    tally = tally_labels(labels, image, 5)
    for label in range(1, 6):
        mask = labels == label
        assert tally.voxels[label] == mask.sum()
        for axis, counts in enumerate(tally.counts):
            np.testing.assert_array_equal(counts[label], mask.sum(axis=tuple({0, 1, 2} - {axis})))
        if mask.any():
            assert tally.mean[label] == pytest.approx(image[mask].mean(dtype=float))
            assert tally.standard_deviation[label] == pytest.approx(image[mask].std(dtype=float))
        else:
            assert np.isnan(tally.mean[label])


def test_bounds_are_the_first_and_last_index_of_each_axis():
    labels = np.zeros((6, 5, 7), np.uint8)
    labels[2:5, 1, 3:] = 2
    tally = tally_labels(labels, np.zeros(labels.shape, np.int16), 2)
    assert tally.bounds(2) == ((2, 4), (1, 1), (3, 6))
    assert tally.bounds(1) is None


def test_values_that_are_not_finite_count_as_voxels_but_not_in_the_mean():
    labels = np.ones((1, 1, 3), np.uint8)
    image = np.array([[[np.nan, 1.0, 3.0]]], np.float32)
    tally = tally_labels(labels, image, 1)
    assert (tally.voxels[1], tally.mean[1], tally.standard_deviation[1]) == (3, 2.0, 1.0)


def test_a_view_in_another_memory_order_is_counted_the_same():
    labels = np.random.default_rng(1).integers(0, 3, (4, 5, 6)).astype(np.uint8)
    image = np.arange(labels.size, dtype=np.int16).reshape(labels.shape)
    plain, turned = tally_labels(labels, image, 2), tally_labels(np.asfortranarray(labels), image[:, :, :], 2)
    np.testing.assert_array_equal(plain.mean, turned.mean)


def test_other_shapes_and_labels_are_refused():
    labels = np.full((2, 2, 2), 3, np.uint8)
    with pytest.raises(DataError, match="one shape"):
        tally_labels(labels, np.zeros((2, 2, 3), np.int16), 3)
    with pytest.raises(DataError, match="at most 2, got 3"):
        tally_labels(labels, np.zeros((2, 2, 2), np.int16), 2)
