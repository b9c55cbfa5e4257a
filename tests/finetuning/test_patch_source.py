from pathlib import Path

import numpy as np
import pytest
from cached_phantoms import TARGET, edited, write_volume

from mixcl_auto.finetuning.finetune import patch_source
from mixcl_auto.finetuning.patch_source import PatchSource, is_foreground
from mixcl_auto.io.case_cache import CaseReader, open_case
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.plan import Plan
from mixcl_auto.training.cases import open_cases
from mixcl_auto.training.samples import SampleDataset, sample_generator
from mixcl_auto.transforms.intensity import to_unit_range

Cached = tuple[Workspace, Plan]
PLAIN = {"rotation_probability": 0.0, "flip_probability": 0.0, "intensity_probability": 0.0}


def make_source(cached: Cached, **changes: object) -> PatchSource:
    workspace, plan = cached
    cases = open_cases(workspace, plan, TARGET, plan.dataset(TARGET).cases)
    return patch_source(cases, edited(plan, "finetune", **changes))


def corner_case(folder: Path) -> CaseReader:
    """A long scan of rising HU, with one labelled voxel in a corner."""
    image = np.broadcast_to(np.arange(-150, 250, dtype=np.int16)[:, None, None], (400, 32, 40)).copy()
    labels = np.zeros(image.shape, np.uint8)
    labels[398, 2, 3] = 1
    write_volume(folder, "corner", image, labels)
    return open_case(folder)


@pytest.mark.parametrize(
    ("samples", "fraction", "expected"),
    [
        (2, 0.5, 1),
        (3, 0.5, 2),
        (4, 0.25, 1),
        (2, 0.0, 0),
        (2, 1.0, 2),
        (3, 1 / 3, 1),
        (5, 0.01, 1),
        (10, 0.3, 3),
    ],
)
def test_share_of_foreground_samples_is_at_least_the_fraction(
    samples: int, fraction: float, expected: int
) -> None:
    assert sum(is_foreground(number, fraction) for number in range(samples)) == expected


def test_share_of_foreground_samples_does_not_depend_on_the_batch_size(
    tmp_path: Path, shared_cache: Cached
) -> None:
    settings = make_source(shared_cache, **PLAIN).settings
    source = PatchSource([corner_case(tmp_path / "corner")], settings)
    for batch_size in (1, 3):
        dataset = SampleDataset(source, seed=0, batch_size=batch_size)
        shown = np.array([bool(dataset[number].arrays["labels"].any()) for number in range(12)])
        assert shown[::2].all()
        assert shown[1::2].sum() < 3


def test_first_sample_of_a_batch_shows_a_label_and_the_second_any_place(
    tmp_path: Path, shared_cache: Cached
) -> None:
    settings = make_source(shared_cache, **PLAIN).settings
    source = PatchSource([corner_case(tmp_path / "corner")], settings)
    shown = np.array(
        [
            [bool(source.draw(sample_generator(0, step, i), i).arrays["labels"].any()) for i in (0, 1)]
            for step in range(12)
        ]
    )
    assert shown[:, 0].all()
    assert shown[:, 1].sum() < 4


def test_undistorted_patch_is_a_slice_of_the_scan(tmp_path: Path, shared_cache: Cached) -> None:
    settings = make_source(shared_cache, **PLAIN).settings
    case = corner_case(tmp_path / "corner")
    sample = PatchSource([case], settings).draw(sample_generator(0, 0, 1), 1)
    image = sample.arrays["image"]
    assert image.shape == (1, 32, 32, 32)
    assert image.dtype == np.float32
    scan = to_unit_range(case.image((0, 0, 0), case.shape), (-150.0, 250.0))
    first = int(np.flatnonzero(scan[:, 0, 0] == image[0, 0, 0, 0])[0])
    np.testing.assert_array_equal(image[0], scan[first : first + 32, :32, :32])
    assert sample.arrays["labels"].shape == (32, 32, 32)
    assert sample.cases == ("corner",)


def test_flips_and_rotations_move_image_and_labels_together(shared_cache: Cached) -> None:
    turned = make_source(
        shared_cache, rotation_probability=1.0, flip_probability=1.0, intensity_probability=0.0
    )
    plain = make_source(shared_cache, **PLAIN)
    moved = 0
    for step in range(6):
        first = plain.draw(sample_generator(0, step, 0), 0).arrays
        second = turned.draw(sample_generator(0, step, 0), 0).arrays
        moved += not np.array_equal(first["labels"], second["labels"])
        for label in range(4):
            before, after = (np.sort(a["image"][0][a["labels"] == label]) for a in (first, second))
            np.testing.assert_array_equal(before, after)
    assert moved > 3


def test_intensities_change_as_planned_and_labels_do_not(shared_cache: Cached) -> None:
    plain, changed = (
        make_source(shared_cache, **PLAIN),
        make_source(shared_cache, **(PLAIN | {"intensity_probability": 1.0})),
    )
    first, second = (source.draw(sample_generator(0, 0, 0), 0).arrays for source in (plain, changed))
    np.testing.assert_array_equal(first["labels"], second["labels"])
    difference = np.abs(first["image"] - second["image"])
    assert 0 < difference.max() <= 0.2 + 1e-5


def test_outside_of_a_short_scan_is_black_background(shared_cache: Cached) -> None:
    arrays = make_source(shared_cache, **PLAIN).draw(sample_generator(0, 0, 0), 0).arrays
    outside = ~arrays["image"][0].any(axis=(0, 1))
    assert outside.sum() == 4
    assert not arrays["labels"][:, :, outside].any()


def test_every_training_case_is_drawn(shared_cache: Cached) -> None:
    source = make_source(shared_cache)
    drawn = {source.draw(sample_generator(0, step, 0), 0).cases[0] for step in range(40)}
    assert drawn == {f"abdomen_{number}" for number in range(5)}


def test_warming_needs_no_case(shared_cache: Cached) -> None:
    PatchSource([], make_source(shared_cache).settings).warm()


def test_case_is_noted_before_it_is_read(shared_cache: Cached) -> None:
    source, noted = make_source(shared_cache), list[str]()
    source.note = noted.append
    samples = [source.draw(sample_generator(0, step, 0), step) for step in range(4)]
    assert noted == [case for sample in samples for case in sample.cases]
