import numpy as np
import pytest

from mixcl_auto.errors import DataError
from mixcl_auto.transforms.intensity import clip_to_steps, to_unit_range

WINDOW = (-150.0, 250.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clipping_rounds_half_to_even(dtype):
    image = np.array([-2000.0, -150.4, -0.5, 0.5, 1.5, 2.5, 249.6, 3000.0], dtype)
    clipped = clip_to_steps(image, WINDOW, 1.0)
    assert clipped.dtype == np.int16
    assert clipped.tolist() == [-150, -150, 0, 0, 2, 2, 250, 250]


def test_clipping_equals_numpy_on_any_layout():
    image = np.random.default_rng(1).normal(0, 300, (5, 6, 7)).astype(np.float32)
    for view in (image, np.asfortranarray(image), image[::2, :, ::-1]):
        np.testing.assert_array_equal(
            clip_to_steps(view, WINDOW, 1.0), np.rint(np.clip(view, *WINDOW)).astype(np.int16)
        )


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64, np.float16])
def test_the_window_becomes_the_unit_interval(dtype):
    image = np.array([[-1000, -150, 50], [150, 250, 3000]], dtype)
    unit = to_unit_range(image, WINDOW)
    assert unit.dtype == np.float32
    np.testing.assert_allclose(unit, [[0, 0, 0.5], [0.75, 1, 1]], rtol=0, atol=1e-7)


def test_neither_changes_its_input():
    image = np.array([-500.0, 0.2, 800.0], np.float32)
    kept = image.copy()
    clip_to_steps(image, WINDOW, 1.0)
    to_unit_range(image, WINDOW)
    np.testing.assert_array_equal(image, kept)


def test_not_a_number_becomes_the_lower_bound():
    image = np.array([np.nan, np.inf, -np.inf], np.float32)
    assert clip_to_steps(image, WINDOW, 1.0).tolist() == [-150, 250, -150]
    assert to_unit_range(image, WINDOW).tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("window", [(250, -150), (0, 0), (0, float("nan")), (1, 2, 3)])
def test_a_window_that_is_none_is_refused(window):
    with pytest.raises(DataError, match="window_hu must be a lower and a larger upper bound"):
        to_unit_range(np.zeros(3, np.int16), window)


def test_a_window_beyond_int16_is_refused_for_the_cache():
    with pytest.raises(DataError, match="0 to 40000 is beyond int16 in steps of 1; correct"):
        clip_to_steps(np.zeros(3, np.float32), (0, 40000), 1.0)
    assert clip_to_steps(np.full(3, 40000.0, np.float32), (0, 40000), 4.0).tolist() == [10000] * 3


@pytest.mark.parametrize(("window", "step"), [((0.0, 1.0), 2.0**-14), ((-3e5, 2e5), 32.0), ((0.0, 6e4), 4.0)])
def test_what_the_network_sees_is_within_half_a_step_of_the_scan(window, step):
    image = np.random.default_rng(1).uniform(*window, 1000).astype(np.float32)
    steps = clip_to_steps(image, window, step)
    seen = to_unit_range(steps, [bound / step for bound in window])
    np.testing.assert_allclose(
        seen, to_unit_range(image, window), rtol=0, atol=0.501 * step / (window[1] - window[0])
    )
