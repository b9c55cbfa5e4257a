import random

import numpy as np
import pytest
from scipy import ndimage

from mixcl_auto.augmentation.global_generators import seeded_globals
from mixcl_auto.augmentation.intensity import (
    FinetuneSettings,
    ViewSettings,
    distort_for_finetuning,
    distort_view,
)
from mixcl_auto.errors import PlanError

OFF = {
    "gamma": (1.0, 1.0),
    "smoothing_sigma_voxels": (0.0, 0.0),
    "noise_standard_deviation": 0.0,
    "shift": 0.0,
}


def smooth_patch(shape=(16, 15, 14), seed=0):
    patch = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.0)
    return ((patch - patch.min()) / (patch.max() - patch.min())).astype(np.float32)


def views(changes, count=200, probability=1.0, patch=None):
    settings = ViewSettings(probability=probability, **{**OFF, **changes})
    generator = np.random.default_rng(1)
    patch = smooth_patch() if patch is None else patch
    return patch, [distort_view(patch, settings, generator) for _ in range(count)]


def test_a_shift_adds_one_number_of_at_most_a_tenth():
    patch, shifted = views({"shift": 0.1})
    differences = [view - patch for view in shifted]
    amounts = np.array([difference.mean() for difference in differences])
    assert max(difference.std() for difference in differences) < 1e-6
    assert -0.1 <= amounts.min() < -0.09
    assert 0.09 < amounts.max() <= 0.1
    assert abs(amounts.mean()) < 0.015


def test_gamma_is_a_power_between_the_patchs_own_extremes():
    patch, curved = views({"gamma": (0.7, 1.5)})
    patch = patch * 0.5 + 0.2
    _, curved = views({"gamma": (0.7, 1.5)}, patch=patch)
    unit = (patch - patch.min()) / (patch.max() - patch.min())
    middle = (unit > 0.2) & (unit < 0.9)
    exponents = []
    for view in curved:
        assert view.min() == pytest.approx(patch.min(), abs=1e-5)
        assert view.max() == pytest.approx(patch.max(), abs=1e-5)
        ratio = np.log((view[middle] - patch.min()) / (patch.max() - patch.min())) / np.log(unit[middle])
        assert ratio.std() < 1e-3
        exponents.append(ratio.mean())
    assert 0.7 - 1e-3 < min(exponents) < 0.73
    assert 1.45 < max(exponents) < 1.5 + 1e-3
    assert 0.35 < np.mean(np.array(exponents) < 1.0) < 0.65


def test_smoothing_is_gaussian_with_sigma_between_half_a_voxel_and_one():
    impulse = np.zeros((15, 15, 15), np.float32)
    impulse[7, 7, 7] = 1.0
    _, smoothed = views({"smoothing_sigma_voxels": (0.5, 1.0)}, count=60, patch=impulse)
    x = np.arange(15) - 7
    sigmas = [np.sqrt((view.sum(axis=(1, 2)) * x**2).sum()) for view in smoothed]
    # A Gaussian of sigma 0.5 sampled at voxels, exp(-2 k^2), has a standard deviation of 0.46.
    assert min(sigmas) > 0.46
    assert max(sigmas) < 1.01
    assert max(sigmas) - min(sigmas) > 0.3
    for view in smoothed[:3]:
        assert view.sum() == pytest.approx(1.0, abs=1e-4)
        np.testing.assert_allclose(view, np.transpose(view, (1, 2, 0)), atol=1e-6)


def test_whole_number_sigmas_are_not_cut_to_the_lower_one():
    impulse = np.zeros((15, 15, 15), np.float32)
    impulse[7, 7, 7] = 1.0
    _, smoothed = views({"smoothing_sigma_voxels": (0, 1)}, count=30, patch=impulse)
    assert min(view.max() for view in smoothed) < 0.3


def test_noise_has_a_standard_deviation_up_to_a_tenth():
    patch, noisy = views({"noise_standard_deviation": 0.1})
    deviations = np.array([(view - patch).std() for view in noisy])
    assert deviations.min() < 0.01
    assert 0.09 < deviations.max() < 0.105
    assert 0.04 < deviations.mean() < 0.06
    assert abs(np.mean([(view - patch).mean() for view in noisy])) < 1e-3


@pytest.mark.parametrize(
    "changes",
    [
        {"shift": 0.1},
        {"gamma": (0.7, 1.5)},
        {"smoothing_sigma_voxels": (0.5, 1.0)},
        {"noise_standard_deviation": 0.1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_each_distortion_comes_with_its_probability(changes):
    everything = {**OFF, **changes}
    patch = smooth_patch((6, 6, 6))
    settings = ViewSettings(probability=0.2, **everything)
    generator = np.random.default_rng(2)
    changed = [
        not np.allclose(distort_view(patch, settings, generator), patch, atol=1e-6) for _ in range(1000)
    ]
    assert 0.16 < np.mean(changed) < 0.24


def test_views_of_one_patch_differ_and_leave_it_alone():
    patch = smooth_patch()
    kept = patch.copy()
    generator = np.random.default_rng(3)
    first, second = (distort_view(patch, ViewSettings(probability=1.0), generator) for _ in range(2))
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(patch, kept)
    assert first.shape == patch.shape
    assert first.dtype == np.float32


def test_with_probability_zero_a_view_is_a_copy():
    patch = smooth_patch()
    for copy in (
        distort_view(patch, ViewSettings(probability=0.0), np.random.default_rng(0)),
        distort_for_finetuning(patch, FinetuneSettings(probability=0.0), np.random.default_rng(0)),
    ):
        np.testing.assert_array_equal(copy, patch)
        assert not np.shares_memory(copy, patch)


@pytest.mark.parametrize("value", [0.0, 0.37, 1.0])
def test_a_constant_patch_stays_finite(value):
    patch = np.full((8, 8, 8), value, np.float32)
    generator = np.random.default_rng(4)
    for _ in range(20):
        assert np.isfinite(distort_view(patch, ViewSettings(probability=1.0), generator)).all()


def test_noise_at_the_windows_end_is_not_clipped():
    _, noisy = views({"noise_standard_deviation": 0.1}, count=5, patch=np.zeros((12, 12, 12), np.float32))
    for view in noisy:
        assert abs(view.mean()) < 0.02
        assert view.min() < 0.0


@pytest.mark.parametrize("distort", [distort_view, distort_for_finetuning])
def test_the_generator_alone_determines_the_result(distort):
    patch = smooth_patch()
    settings = {distort_view: ViewSettings(probability=0.9), distort_for_finetuning: FinetuneSettings(0.9)}[
        distort
    ]

    def run(seed, global_seed):
        np.random.seed(global_seed)
        random.seed(global_seed)
        generator = np.random.default_rng(seed)
        return [distort(patch, settings, generator) for _ in range(4)]

    for one, two in zip(run(5, 1), run(5, 2), strict=True):
        np.testing.assert_array_equal(one, two)
    assert any(not np.array_equal(one, two) for one, two in zip(run(5, 1), run(6, 1), strict=True))


@pytest.mark.parametrize("failing", [False, True])
def test_the_global_generators_are_put_back_even_after_an_error(failing):
    np.random.seed(11)
    random.seed(11)
    expected = np.random.uniform(), random.uniform(0, 1)
    np.random.seed(11)
    random.seed(11)
    try:
        with seeded_globals(np.random.default_rng(0)):
            np.random.normal(size=7)
            random.random()
            if failing:
                raise RuntimeError
    except RuntimeError:
        pass
    assert (np.random.uniform(), random.uniform(0, 1)) == expected


def test_what_runs_inside_does_not_change_how_far_the_generator_advances():
    one, two = np.random.default_rng(1), np.random.default_rng(1)
    with seeded_globals(one):
        np.random.normal(size=100)
    with seeded_globals(two):
        pass
    assert one.random() == two.random()


def test_finetuning_scales_and_shifts_within_a_tenth():
    patch = smooth_patch()
    generator = np.random.default_rng(6)
    factors, amounts = [], []
    for _ in range(200):
        changed = distort_for_finetuning(patch, FinetuneSettings(probability=1.0), generator)
        factor, amount = np.polyfit(patch.ravel().astype(np.float64), changed.ravel(), 1)
        np.testing.assert_allclose(changed, factor * patch + amount, atol=1e-5)
        factors.append(factor)
        amounts.append(amount)
    assert 0.9 - 1e-5 <= min(factors) < 0.91
    assert 1.09 < max(factors) <= 1.1 + 1e-5
    assert -0.1 - 1e-5 <= min(amounts) < -0.09
    assert 0.09 < max(amounts) <= 0.1 + 1e-5


def test_finetunings_changes_come_with_their_probabilities():
    patch = smooth_patch((6, 6, 6))
    generator = np.random.default_rng(7)
    fits = [
        np.polyfit(patch.ravel(), distort_for_finetuning(patch, FinetuneSettings(), generator).ravel(), 1)
        for _ in range(1000)
    ]
    scaled = np.array([abs(factor - 1) > 1e-5 for factor, _ in fits])
    shifted = np.array([abs(amount) > 1e-5 for _, amount in fits])
    assert 0.16 < scaled.mean() < 0.24
    assert 0.16 < shifted.mean() < 0.24
    assert 0.02 < (scaled & shifted).mean() < 0.065


def test_ranges_that_batchgenerators_misreads_are_refused():
    with pytest.raises(PlanError, match="gamma must be an ascending range that reaches 1 or more"):
        ViewSettings(gamma=(0.5, 0.8))
    with pytest.raises(PlanError, match="gamma must be an ascending range"):
        ViewSettings(gamma=(1.5, 1.2))
    with pytest.raises(PlanError, match="smoothing_sigma_voxels must be an ascending range"):
        ViewSettings(smoothing_sigma_voxels=(1.0, 0.5))
