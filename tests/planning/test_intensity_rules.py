import numpy as np
import pytest

from mixcl_auto.errors import PlanError
from mixcl_auto.planning.intensity import check_cache_range, choose_intensity_step, choose_window
from mixcl_auto.records.plan import PreprocessPlan

PRESET_HU = (-150.0, 250.0)


def sketch(low, high):
    return tuple(low + (high - low) * step / 200 for step in range(201))


def test_the_window_is_the_presets_for_ct_and_the_users_where_given(make):
    assert choose_window(PRESET_HU, None, ["CT", "ct"], []).value == PRESET_HU
    assert choose_window(PRESET_HU, [-10, 10], ["CT"], []).value == (-10.0, 10.0)


def test_auto_window_is_the_percentiles_of_the_labels(make):
    data = [make.fingerprint([make.case("a")], quantiles=sketch(-100, 100))]
    choice = choose_window(PRESET_HU, "auto", ["CT"], data)
    assert choice.value == (-99.0, 99.0)


def test_datasets_weigh_by_their_cases_in_the_auto_window(make):
    """1 % of the cases at 500 to 600: the 99.5th percentile lies half-way through them."""
    few = make.fingerprint([make.case("a")], quantiles=sketch(500, 600))
    many = make.fingerprint([make.case(str(i)) for i in range(99)], quantiles=sketch(0, 100))
    choice = choose_window(PRESET_HU, "auto", ["CT", "CT"], [few, many])
    assert choice.value == (0.0, 550.0)
    assert "100 cases" in choice.reason


def test_other_modalities_take_percentiles_and_say_why(make):
    data = [make.fingerprint([make.case("a")], quantiles=sketch(0, 1000))]
    choice = choose_window(PRESET_HU, None, ["MRI"], data)
    assert choice.value == (5.0, 995.0)
    assert "MRI has no Hounsfield scale" in choice.reason


def test_a_constant_foreground_still_gives_an_interval(make):
    data = [make.fingerprint([make.case("a")], quantiles=sketch(7, 7))]
    assert choose_window(PRESET_HU, "auto", ["CT"], data).value == (7.0, 8.0)


def test_a_constant_foreground_of_another_modality_asks_for_a_window(make):
    data = [make.fingerprint([make.case("a")], quantiles=sketch(7, 7))]
    with pytest.raises(PlanError, match="all labelled voxels have the value 7: give --window LOW HIGH"):
        choose_window(PRESET_HU, None, ["PET"], data)


@pytest.mark.parametrize(
    ("request_hu", "channels", "message"),
    [
        ([250, -150], ["CT"], "LOW < HIGH"),
        ([1, 2, 3], ["CT"], "LOW HIGH"),
        ([float("-inf"), 3], ["CT"], "LOW HIGH"),
        (None, ["CT", "MRI"], "one plan has one modality, got CT, MRI"),
        ("auto", ["CT"], "no case has a labelled voxel"),
    ],
)
def test_impossible_windows_are_refused(make, request_hu, channels, message):
    with pytest.raises(PlanError, match=message):
        choose_window(PRESET_HU, request_hu, channels, [make.fingerprint([make.case("a")])])


@pytest.mark.parametrize(
    ("low", "high", "window", "step"),
    [
        (0, 1, (5 / 1024, 1019 / 1024), 2**-14),
        (0, 60000, (256, 59712), 4),
        (-500, 500, (-495, 495), 1 / 16),
        (30000, 31000, (30000, 31008), 1),
        (0, 1e6, (4096, 995328), 64),
    ],
)
def test_other_modalities_get_a_step_that_suits_their_window(make, low, high, window, step):
    """By hand: 0 to 1 has the percentiles 0.005 and 0.995; 0.99 in 16384 steps is 2^-14 at least, and the
    bounds are multiples of 16 steps, 2^-10. 30000 to 31000 would take 1/16, but int16 holds no 16 x 31000."""
    data = [make.fingerprint([make.case("a")], quantiles=sketch(low, high))]
    found = choose_window(PRESET_HU, None, ["T1w"], data).value
    assert found == window
    choice = choose_intensity_step(found, ["T1w"])
    assert choice.value == step
    assert "steps from" in choice.reason


def test_any_window_is_held_by_int16_in_its_step():
    for low, high in (
        np.random.default_rng(0).normal(0, 1, (200, 2)) * 10.0 ** np.arange(-5, 5).repeat(20)[:, None]
    ):
        window = (min(low, high), max(low, high))
        step = choose_intensity_step(window, ["MRI"]).value
        check_cache_range(PreprocessPlan(window_hu=window, intensity_step=step))
        assert (window[1] - window[0]) / step <= 16384
        assert np.log2(step) == round(np.log2(step))


def test_ct_is_cached_in_whole_hu():
    assert choose_intensity_step((-1000.0, 3000.0), ["CT", "ct", "Ct "]).value == 1.0


def test_a_window_that_the_cache_can_not_hold_is_refused():
    with pytest.raises(PlanError, match="0 to 40000 is beyond int16 in steps of 1; give a narrower --window"):
        check_cache_range(PreprocessPlan(window_hu=(0, 40000)))
