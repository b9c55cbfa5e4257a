"""Where patches are drawn in scans of 1 to 80 voxels a side, with a single labelled voxel anywhere."""

from functools import partial
from types import SimpleNamespace

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mixcl_auto.augmentation.intensity import FinetuneSettings, ViewSettings
from mixcl_auto.augmentation.orientation import OrientationSettings
from mixcl_auto.augmentation.spatial import SpatialSettings, draw_warp, region_to_read
from mixcl_auto.finetuning.patch_source import PatchSettings, PatchSource
from mixcl_auto.pretraining.pairs import PairSettings, PairSource, PoolDataset
from mixcl_auto.training.patches import centre_of, lower_around, random_lower, read_padded
from mixcl_auto.transforms.weight_map import boundary_codes

Index = tuple[int, int, int]
WINDOW = (-150, 250)
HU_BY_INDEX = 100
quick = partial(settings, max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
sides = st.tuples(*[st.sampled_from((1, 2)) | st.integers(1, 80)] * 3)
patch_sizes = st.tuples(*[st.sampled_from((16, 32, 48))] * 3)


@st.composite
def places(draw: st.DrawFn) -> tuple[Index, Index]:
    """A scan's shape and one of its voxels, corners and borders more often than not."""
    shape = draw(sides)
    voxel = tuple(draw(st.sampled_from((0, n - 1)) | st.integers(0, n - 1)) for n in shape)
    return shape, voxel


class ScanInMemory:
    """A cached case of one labelled voxel that is read from memory; its image rises along x."""

    def __init__(self, shape: Index, voxel: Index, label: int = 1) -> None:
        self.shape, self.record = shape, SimpleNamespace(id="case", spacing_mm=(0.3, 0.3, 10.0))
        rising = np.arange(shape[0])[:, None, None] % HU_BY_INDEX
        self._image = np.broadcast_to(rising, shape).astype(np.int16)
        self._labels = np.zeros(shape, np.uint8)
        self._labels[voxel] = label
        self._distance = boundary_codes(self._labels)
        self.foreground = {label: np.array([voxel], np.int16)}

    def image(self, lower: Index, upper: Index) -> np.ndarray:
        return self._part(self._image, lower, upper)

    def labels(self, lower: Index, upper: Index) -> np.ndarray:
        return self._part(self._labels, lower, upper)

    def distance(self, lower: Index, upper: Index) -> np.ndarray:
        return self._part(self._distance, lower, upper)

    def _part(self, array: np.ndarray, lower: Index, upper: Index) -> np.ndarray:
        """As the cache does, refuse what lies outside."""
        limits = zip(lower, upper, self.shape, strict=True)
        assert all(0 <= first <= last <= size for first, last, size in limits)
        return array[tuple(slice(*ends) for ends in zip(lower, upper, strict=True))]


def lies_as_documented(lower: Index, shape: Index, size: Index) -> bool:
    """Inside the scan along a longer axis; around the scan along a shorter one."""
    return all(
        0 <= first <= length - side if length >= side else length - side <= first <= 0
        for first, length, side in zip(lower, shape, size, strict=True)
    )


@quick(max_examples=200)
@given(places(), patch_sizes, st.integers(0, 2**31))
def test_patches_contain_their_voxel_and_lie_inside_the_scan_or_around_it(
    place: tuple[Index, Index], size: Index, seed: int
) -> None:
    shape, voxel = place
    lower = lower_around(voxel, shape, size)
    assert all(first <= v < first + side for first, v, side in zip(lower, voxel, size, strict=True))
    assert lies_as_documented(lower, shape, size)
    assert lies_as_documented(random_lower(shape, size, np.random.default_rng(seed)), shape, size)


@quick()
@given(places(), patch_sizes)
def test_a_patch_read_with_padding_holds_the_scans_voxels_where_they_are(
    place: tuple[Index, Index], size: Index
) -> None:
    shape, voxel = place
    scan, lower = ScanInMemory(shape, voxel), lower_around(voxel, shape, size)
    patch = read_padded(scan.labels, lower, size, shape, padding=0)
    assert patch.shape == size
    assert patch[tuple(v - first for v, first in zip(voxel, lower, strict=True))] == 1
    assert patch.sum() == 1


@quick()
@given(places(), patch_sizes, st.integers(0, 2**31))
def test_a_fine_tuning_patch_on_a_single_voxel_shows_it_however_it_is_turned(
    place: tuple[Index, Index], size: Index, seed: int
) -> None:
    recipe = PatchSettings(
        patch_size=size,
        window_steps=WINDOW,
        foreground_fraction=1.0,
        foreground_placement="centre",
        orientation=OrientationSettings(rotation_probability=1.0, flip_probability=0.5),
        intensity=FinetuneSettings(probability=1.0),
    )
    sample = PatchSource([ScanInMemory(*place)], recipe).draw(np.random.default_rng(seed), 0)
    assert sample.arrays["labels"].shape == size
    assert sample.arrays["labels"].sum() == 1
    assert sample.arrays["image"].shape == (1, *size)
    assert np.isfinite(sample.arrays["image"]).all()


def pairs_of(
    scan: ScanInMemory, size: Index, seed: int, *, warped: float, distorted: float
) -> dict[str, np.ndarray]:
    recipe = PairSettings(
        patch_size=size,
        window_steps=WINDOW,
        foreground_fraction=1.0,
        foreground_placement="centre",
        same_image_probability=0.5,
        match_classes=True,
        label_grid=size,
        with_targets=True,
        weight_mu=8.0,
        weight_epsilon=0.05,
        spatial=SpatialSettings(elastic_probability=warped, affine_probability=warped),
        intensity=ViewSettings(probability=distorted),
    )
    source = PairSource([PoolDataset("Pool", 2, (scan,))], [1.0], recipe)
    return source.draw(np.random.default_rng(seed), 0).arrays


@quick()
@given(places(), patch_sizes, st.integers(0, 2**31))
def test_both_patches_of_a_pair_on_a_single_voxel_show_it(
    place: tuple[Index, Index], size: Index, seed: int
) -> None:
    arrays = pairs_of(ScanInMemory(*place), size, seed, warped=0.0, distorted=0.0)
    assert arrays["labels_1"].sum() == arrays["labels_2"].sum() == 1


@quick()
@given(places(), patch_sizes, st.integers(0, 2**31))
def test_warped_and_distorted_pairs_are_finite_and_hold_no_other_labels(
    place: tuple[Index, Index], size: Index, seed: int
) -> None:
    arrays = pairs_of(ScanInMemory(*place), size, seed, warped=1.0, distorted=1.0)
    assert all(np.isfinite(values).all() for values in arrays.values())
    for number in (1, 2):
        assert set(np.unique(arrays[f"labels_{number}"])) <= {0, 1}
        patch, weights = arrays[f"patch_{number}"], arrays[f"weights_{number}"]
        assert patch.shape == (1, *size)
        assert 0 <= patch.min() <= patch.max() <= 1
        assert 0.05 - 1e-6 <= weights.min() <= weights.max() < 1


@quick(max_examples=100)
@given(sides, patch_sizes, st.tuples(*[st.floats(0.3, 10.0)] * 3), st.booleans(), st.integers(0, 2**31))
@example((1, 1, 1), (16, 16, 32), (1.0, 1.0, 2.0), True, 2)
def test_what_a_warp_reads_lies_inside_the_scan_even_where_the_patch_hardly_meets_it(
    shape: Index, size: Index, spacing_mm: tuple[float, float, float], is_first: bool, seed: int
) -> None:
    """The patch is at one end of its range: its centre lies outside of a short scan."""
    lower = tuple((min if is_first else max)(0, n - side) for n, side in zip(shape, size, strict=True))
    warp = draw_warp(size, SpatialSettings().always(), np.random.default_rng(seed), spacing_mm=spacing_mm)
    first, end = region_to_read(warp, centre_of(lower, size), shape)
    assert all(0 <= low < high <= length for low, high, length in zip(first, end, shape, strict=True))
