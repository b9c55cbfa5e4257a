"""Which voxels a probe looks at: drawn from the labels alone, and so the same for every encoder.

A coarse map has few voxels, whose labels are those at their centres. Patches centred on an organ would show
the organ at none of them where it is small, and elsewhere always at the same ones, which an encoder that
knows no more than positions could tell. So an organ's voxel is brought to a random voxel of a level's map,
the coarsest level first, then the next finer one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.io.case_cache import CaseReader
from mixcl_auto.records.probe import ProbeSettings
from mixcl_auto.training.patches import (
    Index,
    draw_foreground_voxel,
    lower_around,
    random_lower,
    read_padded,
)
from mixcl_auto.transforms.grid_reduction import reduce_to_grid

PADDING = -1
"""The label outside a scan; no voxel of it is taken."""


@dataclass(frozen=True)
class Sites:
    """Voxels of one level's map of a patch.

    Attributes:
        voxels: positions in the flattened map, (n,).
        labels: the organs there, (n,).
    """

    voxels: NDArray[np.int64]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class ProbedPatch:
    """A patch, and what is looked at in it.

    Attributes:
        case: that it lies in.
        lower: its first voxel, which is negative where the scan is shorter than the patch.
        levels: the voxels at every level, finest first.
    """

    case: CaseReader
    lower: Index
    levels: tuple[Sites, ...]


def draw_patches(
    cases: Mapping[int, CaseReader],
    labels: Sequence[int],
    *,
    patch_size: Index,
    grids: Sequence[Index],
    settings: ProbeSettings,
) -> list[ProbedPatch]:
    """Draw the patches of some cases with their voxels.

    Args:
        cases: by their number in the dataset, which seeds their draws: a case gives the same patches
            whatever the others are.
        labels: the classes, the background (0) included.
        patch_size: voxels.
        grids: of the levels' maps of a patch.
        settings: how many, and the seed.
    """
    patches = []
    for number, case in cases.items():
        generator = np.random.default_rng((settings.seed, number))
        count = settings.patches_per_class
        for lower in _draw_positions(case, labels, patch_size, grids, count, generator):
            volume = _read_labels(case, lower, patch_size)
            levels = tuple(
                _draw_sites(reduce_to_grid(volume, grid), labels, settings.voxels_per_patch, generator)
                for grid in grids
            )
            patches.append(ProbedPatch(case, lower, levels))
    return _thinned(patches, labels, settings.voxels_per_class)


def _draw_positions(
    case: CaseReader,
    labels: Sequence[int],
    size: Index,
    grids: Sequence[Index],
    count: int,
    generator: np.random.Generator,
) -> list[Index]:
    """First voxels of ``count`` patches that show each organ of the case, and of as many anywhere."""
    positions = []
    for label in labels:
        for number in range(count):
            if label == 0:
                positions.append(random_lower(case.shape, size, generator))
                continue
            voxel = draw_foreground_voxel(case.foreground, [label], generator)
            if voxel is not None:
                grid = grids[-1 - number % len(grids)]
                positions.append(_lower_with(voxel, case.shape, size, grid, generator))
    return positions


def _lower_with(
    voxel: Index, shape: Index, size: Index, grid: Index, generator: np.random.Generator
) -> Index:
    """The patch that has ``voxel`` at a random place of a level's map, moved to lie inside the scan."""
    shifted = []
    for position, side, places in zip(voxel, size, grid, strict=True):
        stride = side // places
        place = stride * int(generator.integers(places)) + (stride - 1) // 2
        shifted.append(position - place + side // 2)
    return lower_around(shifted, shape, size)


def _read_labels(case: CaseReader, lower: Index, size: Index) -> NDArray[np.int16]:
    def read(lower: Sequence[int], upper: Sequence[int]) -> NDArray[np.int16]:
        return case.labels(lower, upper).astype(np.int16)

    return read_padded(read, lower, size, case.shape, padding=PADDING)


def _draw_sites(
    volume: NDArray[np.int16], labels: Sequence[int], most: int, generator: np.random.Generator
) -> Sites:
    """At most ``most`` voxels of each class, all being equally likely."""
    flat = volume.reshape(-1)
    drawn = []
    for label in labels:
        voxels = np.flatnonzero(flat == label)
        if len(voxels) > most:
            voxels = np.sort(generator.choice(voxels, most, replace=False))
        drawn.append(voxels)
    voxels = np.concatenate(drawn)
    return Sites(voxels, flat[voxels].astype(np.int64))


def _thinned(patches: list[ProbedPatch], labels: Sequence[int], most: int) -> list[ProbedPatch]:
    """The same with at most ``most`` voxels of each class at each level, spread evenly over the patches."""
    depth = len(patches[0].levels) if patches else 0
    by_level = [
        _thin_level([patch.levels[level] for patch in patches], labels, most) for level in range(depth)
    ]
    return [
        ProbedPatch(patch.case, patch.lower, levels)
        for patch, levels in zip(patches, zip(*by_level, strict=True), strict=True)
    ]


def _thin_level(sites: Sequence[Sites], labels: Sequence[int], most: int) -> list[Sites]:
    together = np.concatenate([one.labels for one in sites])
    is_kept = np.ones(len(together), bool)
    for label in labels:
        places = np.flatnonzero(together == label)
        if len(places) > most:
            is_kept[places] = False
            is_kept[places[np.linspace(0, len(places) - 1, most).round().astype(int)]] = True
    ends = np.cumsum([len(one.labels) for one in sites])
    kept = np.split(is_kept, ends[:-1])
    return [Sites(one.voxels[keep], one.labels[keep]) for one, keep in zip(sites, kept, strict=True)]
