from pathlib import Path

import numpy as np
import pytest
from cached_phantoms import edited, write_volume

from mixcl_auto.errors import RunError
from mixcl_auto.io.case_cache import open_case
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.pretraining.pairs import PairSource, PoolDataset, dataset_probabilities
from mixcl_auto.pretraining.pool import open_pool, pair_source
from mixcl_auto.records.plan import Plan
from mixcl_auto.training.samples import Sample, sample_generator
from mixcl_auto.transforms.intensity import to_unit_range
from mixcl_auto.transforms.weight_map import (
    decode_distance,
    distance_to_boundary,
    encode_distance,
    weight_map,
)

Cached = tuple[Workspace, Plan]
WHOLE = (32, 32, 32)
"""A label grid that leaves labels and weights at full resolution."""
PLAIN = {"elastic_probability": 0.0, "affine_probability": 0.0, "intensity_probability": 0.0}


def make_source(cached: Cached, label_grid: tuple[int, int, int] = WHOLE, **changes: object) -> PairSource:
    workspace, plan = cached
    return pair_source(open_pool(workspace, plan), edited(plan, "pretrain", **changes), label_grid)


def draw_many(source: PairSource, count: int, seed: int = 0) -> list[Sample]:
    return [source.draw(sample_generator(seed, step, 0), 0) for step in range(count)]


def labels_in(patch: np.ndarray) -> set[int]:
    return set(np.unique(patch).tolist()) - {0}


def find_in_scan(cached: Cached, name: str, patch: np.ndarray) -> tuple[slice, ...]:
    """Where a plain patch of float32 in [0, 1] lies in the cached scan."""
    workspace, plan = cached
    dataset, case = name.split("/")
    reader = open_pool(workspace, plan)[["Liver", "Kidney"].index(dataset)].cases[int(case.split("_")[1])]
    scan = to_unit_range(reader.image((0, 0, 0), reader.shape), plan.preprocess.window_hu)
    places = [
        tuple(slice(a, a + 32) for a in (x, y, 0))
        for x in range(scan.shape[0] - 31)
        for y in range(scan.shape[1] - 31)
        if np.array_equal(scan[x : x + 32, y : y + 32], patch[:, :, place_z(patch, scan.shape[2])])
    ]
    (place,) = places
    return place


def place_z(patch: np.ndarray, length: int) -> slice:
    """A scan of 28 slices in a patch of 32: the padding is black."""
    first = next(z for z in range(patch.shape[2]) if patch[:, :, z].any())
    return slice(first, first + length)


def test_sample_has_every_array_in_the_shape_of_the_patch(shared_cache: Cached) -> None:
    sample = make_source(shared_cache).draw(sample_generator(0, 0, 0), 0)
    for name in ("patch_1", "patch_2", "view_1", "view_1_prime", "view_2"):
        assert sample.arrays[name].shape == (1, 32, 32, 32)
        assert sample.arrays[name].dtype == np.float32
        assert np.isfinite(sample.arrays[name]).all()
    for name in ("patch_1", "patch_2"):
        assert sample.arrays[name].min() >= 0
        assert sample.arrays[name].max() <= 1
    for name in ("labels_1", "labels_2", "weights_1", "weights_2"):
        assert sample.arrays[name].shape == (32, 32, 32)
    assert sample.arrays["labels_1"].dtype == np.uint8
    assert sample.arrays["weights_1"].dtype == np.float32


def test_same_generator_gives_the_same_sample(shared_cache: Cached) -> None:
    first, second = (make_source(shared_cache).draw(sample_generator(3, 5, 1), 1) for _ in range(2))
    assert first.cases == second.cases
    assert first.numbers == second.numbers
    assert all(np.array_equal(first.arrays[name], second.arrays[name]) for name in first.arrays)
    other = make_source(shared_cache).draw(sample_generator(3, 5, 2), 1)
    assert not np.array_equal(first.arrays["patch_1"], other.arrays["patch_1"])


def test_undistorted_patch_is_the_scan_with_its_labels_and_distances(shared_cache: Cached) -> None:
    sample = make_source(shared_cache, **PLAIN).draw(sample_generator(0, 0, 0), 0)
    image, labels = sample.arrays["patch_1"][0], sample.arrays["labels_1"]
    window = find_in_scan(shared_cache, sample.cases[0], image)
    workspace = shared_cache[0]
    dataset, case = sample.cases[0].split("/")
    cache = next(path for path in workspace.preprocessed.glob(f"{dataset}/*/{case}"))
    reader = open_case(cache)
    whole = reader.labels((0, 0, 0), reader.shape)
    inside = place_z(image, reader.shape[2])
    np.testing.assert_array_equal(labels[:, :, inside], whole[window[0], window[1]])
    distance = decode_distance(encode_distance(distance_to_boundary(whole)))
    weights = weight_map(distance, mu=shared_cache[1].pretrain.weight_mu)
    np.testing.assert_array_equal(sample.arrays["weights_1"][:, :, inside], weights[window[0], window[1]])


def test_labels_and_weights_come_on_the_grid_of_the_label_level(shared_cache: Cached) -> None:
    whole = make_source(shared_cache).draw(sample_generator(0, 1, 0), 0).arrays
    coarse = make_source(shared_cache, (16, 8, 16)).draw(sample_generator(0, 1, 0), 0).arrays
    for name in ("labels_1", "labels_2", "weights_1", "weights_2"):
        np.testing.assert_array_equal(coarse[name], whole[name][::2, 1::4, ::2])
    assert np.array_equal(coarse["patch_1"], whole["patch_1"])


def test_weights_follow_the_plans_mu_and_epsilon(shared_cache: Cached) -> None:
    first = make_source(shared_cache, **PLAIN).draw(sample_generator(0, 0, 0), 0).arrays["weights_1"]
    changes = {"weight_mu": 2.0, "weight_epsilon": 0.3}
    other = make_source(shared_cache, **PLAIN, **changes).draw(sample_generator(0, 0, 0), 0)
    # W peaks at D = mu / 2, and is epsilon where there is no boundary.
    assert first.max() == pytest.approx(0.5 * 2 * np.exp(-0.5) + 0.05)
    assert other.arrays["weights_1"].max() == pytest.approx(0.5 * np.exp(-0.5) + 0.3)
    assert (first.min(), other.arrays["weights_1"].min()) == pytest.approx((0.05, 0.3), abs=1e-3)


def test_outside_of_a_short_scan_is_black_background_without_boundary(shared_cache: Cached) -> None:
    sample = make_source(shared_cache, **PLAIN).draw(sample_generator(0, 0, 0), 0)
    outside = np.ones(32, bool)
    outside[place_z(sample.arrays["patch_1"][0], 28)] = False
    assert outside.sum() == 4
    for name in ("patch_1", "labels_1"):
        assert not sample.arrays[name].reshape(32, 32, 32)[:, :, outside].any()
    assert (sample.arrays["weights_1"][:, :, outside] == np.float32(0.05)).all()


def test_views_without_distortion_are_their_patches(shared_cache: Cached) -> None:
    for sample in draw_many(make_source(shared_cache, **PLAIN), 3):
        arrays = sample.arrays
        assert np.array_equal(arrays["view_1"], arrays["patch_1"])
        assert np.array_equal(arrays["view_1_prime"], arrays["patch_1"])
        assert np.array_equal(arrays["view_2"], arrays["patch_2"])


def test_views_of_one_patch_are_distorted_independently_and_leave_it_alone(shared_cache: Cached) -> None:
    plain = make_source(shared_cache, **PLAIN)
    distorted = make_source(shared_cache, **(PLAIN | {"intensity_probability": 1.0}))
    for step in range(3):
        arrays = distorted.draw(sample_generator(0, step, 0), 0).arrays
        untouched = plain.draw(sample_generator(0, step, 0), 0).arrays
        assert np.array_equal(arrays["patch_1"], untouched["patch_1"])
        assert not np.array_equal(arrays["view_1"], arrays["patch_1"])
        assert not np.array_equal(arrays["view_1"], arrays["view_1_prime"])
        assert np.abs(arrays["view_1"] - arrays["patch_1"]).mean() < 0.5


def test_both_patches_come_from_one_dataset_with_its_number_of_classes(shared_cache: Cached) -> None:
    samples = draw_many(make_source(shared_cache, **PLAIN, dataset_sampling="dataset"), 40)
    classes = {"Liver": 3, "Kidney": 2}
    for sample in samples:
        first, second = (case.split("/")[0] for case in sample.cases)
        assert first == second
        assert sample.numbers["class_count"] == classes[first]
    assert {sample.cases[0].split("/")[0] for sample in samples} == {"Liver", "Kidney"}


@pytest.mark.parametrize(
    ("probability", "low", "high"), [(0.0, 0.0, 0.0), (0.5, 0.25, 0.75), (1.0, 1.0, 1.0)]
)
def test_second_patch_comes_from_the_same_scan_as_often_as_planned(
    shared_cache: Cached, probability: float, low: float, high: float
) -> None:
    samples = draw_many(make_source(shared_cache, **PLAIN, same_image_probability=probability), 60)
    same = [a == b for a, b in (sample.cases for sample in samples) if a.startswith("Liver")]
    assert len(same) > 30
    assert low <= np.mean(same) <= high


def test_dataset_of_one_case_pairs_it_with_itself(shared_cache: Cached) -> None:
    source = make_source(shared_cache, **PLAIN, same_image_probability=0.0, dataset_sampling="dataset")
    kidneys = [sample.cases for sample in draw_many(source, 20) if sample.cases[0].startswith("Kidney")]
    assert kidneys
    assert set(kidneys) == {("Kidney/kidney_0", "Kidney/kidney_0")}


def paired_organs(tmp_path: Path) -> PoolDataset:
    """Two scans 80 voxels long with label 1 at one end and 2 at the other, so that no patch holds both."""
    labels = np.zeros((80, 32, 32), np.uint8)
    labels[4:10, 14:18, 14:18], labels[70:76, 14:18, 14:18] = 1, 2
    image = np.zeros(labels.shape, np.int16)
    readers = []
    for case in ("a", "b"):
        write_volume(tmp_path / case, case, image, labels)
        readers.append(open_case(tmp_path / case))
    return PoolDataset("Kidneys", 3, tuple(readers))


def make_paired_source(tmp_path: Path, plan: Plan, **changes: object) -> PairSource:
    changed = edited(plan, "pretrain", **PLAIN, **changes)
    return pair_source([paired_organs(tmp_path)], changed, WHOLE)


def test_foreground_pair_shows_the_same_organ(tmp_path: Path, shared_cache: Cached) -> None:
    source = make_paired_source(tmp_path, shared_cache[1], foreground_fraction=1.0)
    shown = [
        (labels_in(s.arrays["labels_1"]), labels_in(s.arrays["labels_2"])) for s in draw_many(source, 24)
    ]
    assert all(first == second for first, second in shown)
    assert {frozenset(first) for first, _ in shown} == {frozenset({1}), frozenset({2})}


def test_classes_are_matched_only_where_planned(tmp_path: Path, shared_cache: Cached) -> None:
    source = make_paired_source(tmp_path, shared_cache[1], foreground_fraction=1.0, match_classes=False)
    shown = [
        labels_in(s.arrays["labels_1"]) == labels_in(s.arrays["labels_2"]) for s in draw_many(source, 24)
    ]
    assert 0 < sum(shown) < 24


def test_foreground_share_of_patches_is_as_planned(tmp_path: Path, shared_cache: Cached) -> None:
    # A random patch of 32 in 80 voxels holds neither organ in 27 of 49 positions.
    none = make_paired_source(tmp_path, shared_cache[1], foreground_fraction=0.0)
    empty = [not labels_in(s.arrays["labels_1"]) for s in draw_many(none, 60)]
    assert 0.3 < np.mean(empty) < 0.8
    half = make_paired_source(tmp_path / "half", shared_cache[1], foreground_fraction=0.5)
    empty = [not labels_in(s.arrays["labels_1"]) for s in draw_many(half, 60)]
    assert 0.1 < np.mean(empty) < 0.45


def test_second_patch_without_a_matching_class_shows_another(tmp_path: Path, shared_cache: Cached) -> None:
    image = np.zeros((40, 40, 40), np.int16)
    for case, label in (("a", 1), ("b", 2)):
        labels = np.zeros(image.shape, np.uint8)
        labels[18:22, 18:22, 18:22] = label
        write_volume(tmp_path / case, case, image, labels)
    dataset = PoolDataset("Mixed", 3, tuple(open_case(tmp_path / case) for case in ("a", "b")))
    plan = edited(shared_cache[1], "pretrain", **PLAIN, same_image_probability=0.0, foreground_fraction=1.0)
    for sample in draw_many(pair_source([dataset], plan, WHOLE), 6):
        shown = labels_in(sample.arrays["labels_1"]) | labels_in(sample.arrays["labels_2"])
        assert shown == {1, 2}


def test_unlabelled_scan_gives_random_patches(tmp_path: Path, shared_cache: Cached) -> None:
    write_volume(tmp_path / "a", "a", np.zeros((40, 40, 40), np.int16), np.zeros((40, 40, 40), np.uint8))
    plan = edited(shared_cache[1], "pretrain", foreground_fraction=1.0)
    source = pair_source([PoolDataset("Empty", 2, (open_case(tmp_path / "a"),))], plan, WHOLE)
    assert not any(labels_in(sample.arrays["labels_1"]) for sample in draw_many(source, 3))


def test_sampling_of_datasets_worked_by_hand() -> None:
    assert dataset_probabilities([4, 16], "case") == pytest.approx([0.2, 0.8])
    assert dataset_probabilities([4, 16], "sqrt") == pytest.approx([1 / 3, 2 / 3])
    assert dataset_probabilities([4, 16], "dataset") == pytest.approx([0.5, 0.5])


def test_plan_without_a_pool_is_an_error_that_offers_ways_out(shared_cache: Cached) -> None:
    workspace, plan = shared_cache
    alone = plan.model_copy(update={"datasets": plan.targets})
    with pytest.raises(RunError, match=r"nothing to pre-train on.*--pretrain NAME.*--init scratch"):
        open_pool(workspace, alone)


def test_warming_needs_no_case(shared_cache: Cached) -> None:
    source = make_source(shared_cache)
    settings = source.settings
    PairSource([PoolDataset("Gone", 2, ())], [1.0], settings).warm()


def test_both_cases_are_noted_in_the_order_of_their_reading(shared_cache: Cached) -> None:
    source, noted = make_source(shared_cache), list[str]()
    source.note = noted.append
    samples = draw_many(source, 4)
    assert noted == [case for sample in samples for case in sample.cases]
