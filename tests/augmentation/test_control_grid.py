import numpy as np
import pytest
from scipy.interpolate import BSpline

from mixcl_auto.augmentation.control_grid import (
    axis_basis,
    control_shape,
    displacement_on_lattice,
    excess_between,
)


@pytest.mark.parametrize(("size", "spacing"), [(96, 24.0), (33, 8.0), (5, 24.0), (1, 24.0)])
def test_axis_weights_are_cubic_b_splines_that_sum_to_one(size, spacing):
    knots, basis = axis_basis(size, spacing)
    count = control_shape((size, size, size), spacing)[0]
    assert knots.min() >= 0
    assert knots.max() + 4 <= count
    np.testing.assert_allclose(basis.sum(axis=1), 1.0)
    assert (basis >= 0).all()
    place = (np.arange(size) - (size - 1) / 2) / spacing + (count - 3) / 2
    for index in range(count):
        element = BSpline.basis_element(np.arange(index - 3, index + 2), extrapolate=False)
        expected = np.nan_to_num(element(place))
        found = np.array([basis[v, index - k] if 0 <= index - k < 4 else 0.0 for v, k in enumerate(knots)])
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_control_points_cover_the_patch_with_one_to_spare_on_each_side():
    assert control_shape((97, 96, 25), 24.0) == (7, 7, 4)
    assert control_shape((98, 2, 1), 24.0) == (8, 4, 4)


def test_equal_control_points_displace_everything_alike():
    shape = (20, 30, 9)
    control = np.broadcast_to([1.0, -2.0, 3.0], (*control_shape(shape, 8.0), 3))
    field = displacement_on_lattice(control, shape, 8.0, [np.arange(n) for n in shape])
    np.testing.assert_allclose(field, np.broadcast_to([1.0, -2.0, 3.0], (*shape, 3)))


def test_a_lattice_holds_the_values_of_the_whole_field():
    shape = (20, 30, 9)
    control = np.random.default_rng(1).normal(size=(*control_shape(shape, 8.0), 3))
    whole = displacement_on_lattice(control, shape, 8.0, [np.arange(n) for n in shape])
    places = [np.array([0, 7, n - 1]) for n in shape]
    coarse = displacement_on_lattice(control, shape, 8.0, places)
    np.testing.assert_allclose(coarse, whole[np.ix_(*places)], atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_between_lattice_points_the_field_stays_within_the_bound(seed):
    shape = (25, 25, 25)
    control = np.random.default_rng(seed).normal(size=(*control_shape(shape, 8.0), 3))
    whole = displacement_on_lattice(control, shape, 8.0, [np.arange(25)] * 3)
    coarse = displacement_on_lattice(control, shape, 8.0, [np.arange(0, 25, 4)] * 3)
    excess = excess_between(control, 8.0, 4)
    assert (whole.max(axis=(0, 1, 2)) <= coarse.max(axis=(0, 1, 2)) + excess).all()
    assert (whole.min(axis=(0, 1, 2)) >= coarse.min(axis=(0, 1, 2)) - excess).all()
    assert (excess > 0).all()
