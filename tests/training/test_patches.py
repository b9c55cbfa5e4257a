import numpy as np
import pytest

from mixcl_auto.training.patches import (
    centre_of,
    clip_region,
    draw_foreground_voxel,
    lower_around,
    lower_holding,
    random_lower,
    read_padded,
)


def test_random_patches_take_every_position_inside_a_longer_scan() -> None:
    generator = np.random.default_rng(0)
    drawn = np.array([random_lower((7, 4, 9), (4, 4, 4), generator) for _ in range(600)])
    assert set(drawn[:, 0]) == {0, 1, 2, 3}
    assert set(drawn[:, 1]) == {0}
    counts = np.bincount(drawn[:, 2], minlength=6)
    assert len(counts) == 6
    assert counts.min() > 60


def test_random_patches_hold_a_shorter_scan_wholly() -> None:
    generator = np.random.default_rng(0)
    drawn = {random_lower((2, 3, 4), (4, 4, 4), generator) for _ in range(200)}
    assert {lower[0] for lower in drawn} == {-2, -1, 0}
    assert {lower[1] for lower in drawn} == {-1, 0}
    assert {lower[2] for lower in drawn} == {0}


def test_patch_around_a_voxel_is_centred_on_it() -> None:
    lower = lower_around((10, 11, 12), (30, 30, 30), (8, 8, 8))
    assert lower == (6, 7, 8)
    assert centre_of(lower, (8, 8, 8)) == (10, 11, 12)


@pytest.mark.parametrize("voxel", [(0, 0, 0), (29, 29, 29), (0, 29, 15)])
def test_patch_around_a_border_voxel_stays_inside_and_contains_it(voxel: tuple[int, int, int]) -> None:
    lower = lower_around(voxel, (30, 30, 30), (8, 8, 8))
    for first, index in zip(lower, voxel, strict=True):
        assert 0 <= first <= 22
        assert first <= index < first + 8


def test_patch_around_a_voxel_of_a_short_scan_contains_the_scan() -> None:
    assert lower_around((0, 1, 4), (5, 2, 5), (8, 8, 4)) == (-3, -3, 1)


def test_foreground_voxel_has_a_wanted_class() -> None:
    foreground = {
        1: np.full((50, 3), 1, np.int16),
        2: np.full((2, 3), 2, np.int16),
        3: np.full((2, 3), 3, np.int16),
    }
    generator = np.random.default_rng(0)
    drawn = [draw_foreground_voxel(foreground, [2, 1, 7], generator) for _ in range(300)]
    assert set(drawn) == {(1, 1, 1), (2, 2, 2)}
    # classes are equally likely, whatever their size: 150 expected, standard deviation 8.7
    assert 110 < drawn.count((2, 2, 2)) < 190


def test_foreground_voxel_is_absent_without_a_wanted_class() -> None:
    generator = np.random.default_rng(0)
    foreground = {1: np.zeros((0, 3), np.int16), 2: np.ones((1, 3), np.int16)}
    assert draw_foreground_voxel(foreground, [1, 5], generator) is None
    assert draw_foreground_voxel({}, [], generator) is None


def test_region_is_cut_at_the_scan() -> None:
    assert clip_region((-3, 2, 8), (4, 20, 12), (10, 10, 10)) == ((0, 2, 8), (4, 10, 10))
    assert clip_region((12, 0, 0), (14, 1, 1), (10, 10, 10)) == ((10, 0, 0), (10, 1, 1))


@pytest.mark.parametrize("lower", [(1, 2, 3), (-2, 0, 3), (-3, -3, -3), (4, 5, 6)])
def test_padded_reading_equals_slicing_a_padded_scan(lower: tuple[int, int, int]) -> None:
    scan = np.random.default_rng(1).integers(-100, 100, (6, 7, 8)).astype(np.int16)
    padded = np.pad(scan, 8, constant_values=-999)
    window = tuple(slice(first + 8, first + 8 + side) for first, side in zip(lower, (5, 4, 5), strict=True))

    def read(first: tuple[int, int, int], last: tuple[int, int, int]) -> np.ndarray:
        assert all(0 <= a <= b <= n for a, b, n in zip(first, last, scan.shape, strict=True))
        return scan[tuple(slice(a, b) for a, b in zip(first, last, strict=True))]

    patch = read_padded(read, lower, (5, 4, 5), scan.shape, padding=-999)
    assert patch.dtype == np.int16
    np.testing.assert_array_equal(patch, padded[window])


def test_a_patch_drawn_for_a_voxel_has_it_in_its_centre_or_anywhere() -> None:
    voxel, size = (20, 21, 22), (8, 4, 16)
    generator = np.random.default_rng(0)
    assert lower_holding(voxel, (40, 40, 40), size, "centre", generator) == (16, 19, 14)
    lowers = [lower_holding(voxel, (40, 40, 40), size, "anywhere", generator) for _ in range(2000)]
    places = np.array(voxel) - np.array(lowers)
    for axis, side in enumerate(size):
        counts = np.bincount(places[:, axis], minlength=side)
        assert len(counts) == side  # always inside the patch
        assert counts.min() > 0.6 * 2000 / side  # and everywhere alike


def test_a_patch_with_its_voxel_anywhere_stays_inside_the_scan() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        lower = lower_holding((0, 39, 3), (40, 40, 5), (16, 16, 16), "anywhere", generator)
        assert 0 <= lower[0] <= 0 + 15
        assert 24 - 15 <= lower[1] <= 24
        assert -11 <= lower[2] <= 0  # a scan thinner than the patch lies inside it


def test_a_centred_patch_draws_no_number() -> None:
    one, other = np.random.default_rng(1), np.random.default_rng(1)
    lower_holding((5, 5, 5), (40, 40, 40), (16, 16, 16), "centre", one)
    assert one.random() == other.random()
