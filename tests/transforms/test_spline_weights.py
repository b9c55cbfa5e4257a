import numpy as np
import pytest
from scipy import ndimage

from mixcl_auto.transforms.grids import positions_on
from mixcl_auto.transforms.spline_weights import basis_functions, cubic_spline_weights


def dense(banded, size):
    outputs, taps = banded.weights.shape
    matrix = np.zeros((outputs, size + taps))
    for row, start in enumerate(banded.starts):
        matrix[row, start : start + taps] = banded.weights[row]
    assert not matrix[:, size:].any()
    return matrix[:, :size]


@pytest.mark.parametrize(("size", "step"), [(1, 0.4), (2, 0.6), (3, 1.7), (30, 0.8), (30, 1.9), (200, 2.5)])
def test_weights_are_scipys_response_to_unit_impulses(size, step):
    positions = positions_on(size, max(1, round(size / step)), step)
    matrix = dense(cubic_spline_weights(size, positions), size)
    for column, impulse in enumerate(np.eye(size)):
        expected = ndimage.map_coordinates(impulse, positions[None], order=3, mode="mirror")
        np.testing.assert_allclose(matrix[:, column], expected, rtol=0, atol=3e-7)


def test_rows_sum_to_one_and_hold_no_denormals():
    weights = cubic_spline_weights(300, positions_on(300, 160, 300 / 160)).weights
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=0, atol=3e-7)
    assert np.abs(weights[weights != 0]).min() > 5e-8


def test_at_voxel_centres_the_spline_interpolates():
    matrix = dense(cubic_spline_weights(12, np.arange(12.0)), 12)
    np.testing.assert_allclose(matrix, np.eye(12), rtol=0, atol=1e-6)


def test_taps_fill_whole_groups_of_eight():
    assert cubic_spline_weights(300, positions_on(300, 160, 1.875)).weights.shape[1] % 8 == 0
    assert cubic_spline_weights(3, positions_on(3, 5, 0.6)).weights.shape[1] % 8 == 0


def test_basis_functions_at_a_knot_and_halfway():
    np.testing.assert_allclose(basis_functions(np.array(0.0)), [1 / 6, 4 / 6, 1 / 6, 0])
    np.testing.assert_allclose(basis_functions(np.array(0.5)), [1 / 48, 23 / 48, 23 / 48, 1 / 48])


def test_output_centres_lie_where_the_extents_say():
    np.testing.assert_allclose(positions_on(4, 2, 2.0), [0.5, 2.5])
    np.testing.assert_allclose(positions_on(2, 4, 0.5), [-0.25, 0.25, 0.75, 1.25])
    # One voxel of 1 mm, output voxels of 5 mm: the centre would lie beyond the image and stays in its extent.
    np.testing.assert_allclose(positions_on(1, 1, 5.0), [0.5])
