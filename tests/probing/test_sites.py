"""The voxels of the probes: drawn alike in any company, labelled as they are, never too many of a class."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from mixcl_auto.io.case_cache import CaseReader
from mixcl_auto.probing.sites import PADDING, ProbedPatch, draw_patches
from mixcl_auto.records.probe import ProbeSettings

SIZE = (32, 32, 32)
GRIDS = [(32, 32, 32), (16, 16, 16), (8, 8, 8), (4, 4, 4), (2, 2, 2)]
LABELS = [0, 1, 2, 3]

Cases = dict[int, CaseReader]


class OneVoxel:
    """A case whose only organ is a voxel."""

    shape = (80, 80, 80)
    voxel = (40, 41, 42)

    def __init__(self) -> None:
        self.foreground = {1: np.array([self.voxel], np.int16)}

    def labels(self, lower: Sequence[int], upper: Sequence[int]) -> NDArray[np.uint8]:
        volume = np.zeros(self.shape, np.uint8)
        volume[self.voxel] = 1
        return volume[tuple(slice(*ends) for ends in zip(lower, upper, strict=True))]


def draw(cases: Cases, **settings: int) -> list[ProbedPatch]:
    return draw_patches(cases, LABELS, patch_size=SIZE, grids=GRIDS, settings=ProbeSettings(**settings))


def as_lists(patches: list[ProbedPatch]) -> list[tuple[str, object, object]]:
    return [
        (patch.case.record.id, patch.lower, [(s.voxels.tolist(), s.labels.tolist()) for s in patch.levels])
        for patch in patches
    ]


def counts(patches: list[ProbedPatch], level: int) -> dict[int, int]:
    labels = np.concatenate([patch.levels[level].labels for patch in patches])
    return {label: int((labels == label).sum()) for label in LABELS}


def test_every_organ_of_a_case_and_the_scan_at_large_get_as_many_patches(cases: Cases) -> None:
    organs = [sum(label > 0 for label in case.foreground) for case in cases.values()]
    assert len(draw(cases, patches_per_class=3)) == sum(3 * (count + 1) for count in organs)


def test_a_case_gives_the_same_voxels_whatever_the_others_are(cases: Cases) -> None:
    alone = as_lists(draw({2: cases[2]}, voxels_per_class=10**6))
    together = as_lists(draw(cases, voxels_per_class=10**6))
    assert alone == [one for one in together if one[0] == cases[2].record.id]
    assert alone != as_lists(draw({2: cases[2]}, voxels_per_class=10**6, seed=1))
    assert alone != as_lists(draw({3: cases[2]}, voxels_per_class=10**6))


def test_labels_are_those_at_the_centres_of_the_levels_voxels(cases: Cases) -> None:
    for patch in draw(cases, patches_per_class=2):
        labels = patch.case.labels((0, 0, 0), patch.case.shape)
        for grid, sites in zip(GRIDS, patch.levels, strict=True):
            stride = 32 // grid[0]
            places = np.stack(np.unravel_index(sites.voxels, grid), 1) * stride + (stride - 1) // 2
            assert labels[tuple((places + patch.lower).T)].tolist() == sites.labels.tolist()


def test_padding_is_never_looked_at(cases: Cases) -> None:
    short = cases[3]
    patches = draw({3: short}, voxels_per_patch=10**6, voxels_per_class=10**6)
    assert all(PADDING not in patch.levels[0].labels for patch in patches)
    assert len(patches[0].levels[0].voxels) == 32 * 32 * short.shape[2]


def test_no_class_exceeds_its_numbers_per_patch_and_in_all(cases: Cases) -> None:
    patches = draw(cases, voxels_per_patch=10, voxels_per_class=35)
    assert max(counts([patch], 1)[label] for patch in patches for label in LABELS) <= 10
    assert counts(patches, 1) == dict.fromkeys(LABELS, 35)
    assert sum(counts([patch], 1)[0] > 0 for patch in patches) == 35  # spread over the patches
    (one, *_) = draw(cases, voxels_per_patch=10)
    assert counts([one], 0)[0] == 10


@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_coarsest_level_sees_every_organ_of_a_case(cases: Cases, number: int) -> None:
    """Balls of 4 to 7 voxels: a patch centred on one has them at no token's centre, which is 8 voxels off."""
    found = counts(draw({number: cases[number]}, patches_per_class=1), 4)
    assert all(found[label] for label in LABELS)


def test_every_level_sees_an_organ_of_one_voxel_in_turn() -> None:
    """Levels from the coarsest on, then again; elsewhere a coarse map would hardly ever show it."""
    case = OneVoxel()
    patches = draw({0: case}, patches_per_class=10)  # type: ignore[dict-item]
    shown = [[bool(patch.levels[level].labels.any()) for level in range(5)] for patch in patches[10:]]
    assert all(shown[number][4 - number % 5] for number in range(10))


def test_organs_lie_all_over_the_patches(cases: Cases) -> None:
    """Or random weights could tell them by the position alone."""
    patches = draw({number: cases[number] for number in range(3)}, patches_per_class=20)
    sites = [patch.levels[3] for patch in patches]
    places = np.concatenate([one.voxels[one.labels > 0] for one in sites])
    positions = np.stack(np.unravel_index(places, GRIDS[3]))
    shares = [np.bincount(axis, minlength=4) / len(places) for axis in positions]
    assert np.min(shares) > 0.1  # of 0.25; centred patches have next to none in the outer ones


@pytest.mark.parametrize("label", [1, 2, 3])
def test_a_class_that_is_not_asked_for_is_not_looked_at(cases: Cases, label: int) -> None:
    classes = [one for one in LABELS if one != label]
    patches = draw_patches(cases, classes, patch_size=SIZE, grids=GRIDS, settings=ProbeSettings())
    assert counts(patches, 0)[label] == 0
