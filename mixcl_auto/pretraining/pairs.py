"""Decision 13: pairs of patches P1 and P2 of one dataset, and their views.

P2 comes from P1's own scan or from another of the same dataset. Where it is drawn for a label, that is one
which P1's patch has: the left kidney is not matched with the right one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.augmentation.intensity import ViewSettings, distort_view
from mixcl_auto.augmentation.spatial import SpatialSettings, Warp, apply_warp, draw_warp, region_to_read
from mixcl_auto.io.case_cache import CaseReader
from mixcl_auto.training.patches import (
    Index,
    Placement,
    centre_of,
    draw_foreground_voxel,
    lower_holding,
    random_lower,
)
from mixcl_auto.training.samples import Note, Sample, note_nothing
from mixcl_auto.transforms.grid_reduction import reduce_to_grid
from mixcl_auto.transforms.intensity import to_unit_range
from mixcl_auto.transforms.weight_map import distance_table, weight_map

LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class PoolDataset:
    """One dataset of the pool: its cached cases and its number of classes, background included."""

    name: str
    class_count: int
    cases: tuple[CaseReader, ...]


@dataclass(frozen=True, kw_only=True)
class PairSettings:
    """How pairs are drawn.

    Attributes:
        patch_size: voxels.
        window_steps: of the cache's numbers, mapped to [0, 1].
        foreground_fraction: probability that a patch is drawn for a labelled voxel.
        foreground_placement: where in the patch that voxel is.
        same_image_probability: that P2 comes from P1's scan.
        match_classes: whether P2 is drawn for a class of P1's patch where it can be.
        label_grid: voxels of the grid on which labels and weights come: of the finest level whose embeddings
            the label loss compares, or the patch's own.
        with_targets: whether what only MixCL's loss needs comes too: undistorted patches and weights. No
            draw depends on it.
        weight_mu: mu of Eq. 7, in the unit of the cached distances.
        weight_epsilon: epsilon of Eq. 7.
        spatial: of the warp, drawn once per patch.
        intensity: of the views.
    """

    patch_size: Index
    window_steps: tuple[float, float]
    foreground_fraction: float
    foreground_placement: Placement
    same_image_probability: float
    match_classes: bool
    label_grid: Index
    with_targets: bool
    weight_mu: float
    weight_epsilon: float
    spatial: SpatialSettings
    intensity: ViewSettings


@dataclass(frozen=True)
class Patch:
    """A warped patch before any distortion of its intensities; arrays (x, y, z).

    Attributes:
        image: float32 in [0, 1].
        labels: label values.
        distance: D of Eq. 7, float32.
    """

    image: NDArray[np.float32]
    labels: NDArray[Any]
    distance: NDArray[np.float32]

    def classes(self) -> list[int]:
        """The label values in it, without the background."""
        return [int(label) for label in np.flatnonzero(np.bincount(self.labels.ravel())) if label > 0]


class PairSource:
    """Draws pairs from the pool.

    Args:
        pool: at least one dataset with a case.
        dataset_probabilities: how often each is drawn; its cases are equally likely.
        settings: how.
    """

    def __init__(
        self, pool: Sequence[PoolDataset], dataset_probabilities: Sequence[float], settings: PairSettings
    ) -> None:
        self.pool = tuple(pool)
        self.probabilities = np.asarray(dataset_probabilities, dtype=np.float64)
        self.settings = settings
        self.note: Note = note_nothing
        self._distance_table = distance_table()

    def draw(self, generator: np.random.Generator, number: int) -> Sample:
        """One pair with its three views; ``number`` plays no part."""
        settings = self.settings
        number_in_pool = int(generator.choice(len(self.pool), p=self.probabilities))
        dataset = self.pool[number_in_pool]
        first = int(generator.integers(len(dataset.cases)))
        case_1 = dataset.cases[first]
        self.note(case_name(dataset, case_1))
        patch_1 = self._draw_patch(case_1, None, generator)
        case_2 = dataset.cases[self._draw_partner(first, len(dataset.cases), generator)]
        self.note(case_name(dataset, case_2))
        wanted = patch_1.classes() if settings.match_classes else None
        patch_2 = self._draw_patch(case_2, wanted, generator)
        views = [distort_view(p.image, settings.intensity, generator) for p in (patch_1, patch_1, patch_2)]
        arrays: dict[str, NDArray[np.generic]] = {
            "view_1": views[0][None],
            "view_1_prime": views[1][None],
            "view_2": views[2][None],
            "labels_1": reduce_to_grid(patch_1.labels, settings.label_grid),
            "labels_2": reduce_to_grid(patch_2.labels, settings.label_grid),
        }
        if settings.with_targets:
            arrays |= {"patch_1": patch_1.image[None], "patch_2": patch_2.image[None]}
            arrays |= {"weights_1": self._weights(patch_1), "weights_2": self._weights(patch_2)}
        numbers = {
            "dataset": number_in_pool,
            "class_count": dataset.class_count,
            "voxel_seed": int(generator.integers(LARGEST_SEED)),
        }
        cases = (case_name(dataset, case_1), case_name(dataset, case_2))
        return Sample(arrays, cases, numbers)

    def warm(self) -> None:
        """Compile the warp and the scaling, and import the distortions, on an empty scan."""
        settings = self.settings
        warp = draw_warp(settings.patch_size, settings.spatial.always(), np.random.default_rng(0))
        zeros = np.zeros((1, 1, 1), np.uint8)
        patch = self._warp(warp, zeros.astype(np.int16), zeros, zeros, centre=(0, 0, 0), origin=(0, 0, 0))
        distort_view(patch.image, settings.intensity, np.random.default_rng(0))

    def _draw_partner(self, first: int, cases: int, generator: np.random.Generator) -> int:
        """The case of P2: P1's, or any other with equal probability; a dataset of one case has no other."""
        if cases == 1 or generator.random() < self.settings.same_image_probability:
            return first
        other = int(generator.integers(cases - 1))
        return other + (other >= first)

    def _draw_patch(
        self, case: CaseReader, wanted: Sequence[int] | None, generator: np.random.Generator
    ) -> Patch:
        """Draw a position and a warp, and read what the warp reaches."""
        settings, size = self.settings, self.settings.patch_size
        voxel = None
        if generator.random() < settings.foreground_fraction:
            voxel = self._draw_voxel(case, wanted, generator)
        if voxel is None:
            lower = random_lower(case.shape, size, generator)
        else:
            lower = lower_holding(voxel, case.shape, size, settings.foreground_placement, generator)
        centre = centre_of(lower, size)
        warp = draw_warp(size, settings.spatial, generator, spacing_mm=case.record.spacing_mm)
        first, end = region_to_read(warp, centre, case.shape)
        image, labels, codes = case.image(first, end), case.labels(first, end), case.distance(first, end)
        return self._warp(warp, image, labels, codes, centre=centre, origin=first)

    def _warp(
        self,
        warp: Warp,
        image: NDArray[np.int16],
        labels: NDArray[Any],
        codes: NDArray[np.uint8],
        *,
        centre: Index,
        origin: Index,
    ) -> Patch:
        """Warp a region of a scan that begins at ``origin`` to the patch around ``centre``."""
        window = self.settings.window_steps
        warped, patch_labels, distance = apply_warp(
            warp,
            image,
            labels,
            codes,
            self._distance_table,
            centre=centre,
            region_origin=origin,
            padding=window[0],
        )
        return Patch(to_unit_range(warped, window), patch_labels, distance)

    def _weights(self, patch: Patch) -> NDArray[np.floating[Any]]:
        """W of Eq. 7 at the voxels that the label loss samples."""
        settings = self.settings
        distance = reduce_to_grid(patch.distance, settings.label_grid)
        return weight_map(distance, mu=settings.weight_mu, epsilon=settings.weight_epsilon)

    def _draw_voxel(
        self, case: CaseReader, wanted: Sequence[int] | None, generator: np.random.Generator
    ) -> Index | None:
        """A voxel of a wanted class where the case has one, else of any; absent if nothing is labelled."""
        voxel = draw_foreground_voxel(case.foreground, wanted or [], generator)
        if voxel is None:
            any_class = [label for label in case.foreground if label > 0]
            voxel = draw_foreground_voxel(case.foreground, any_class, generator)
        return voxel


def case_name(dataset: PoolDataset, case: CaseReader) -> str:
    """A case among those of all datasets, for messages."""
    return f"{dataset.name}/{case.record.id}"


def dataset_probabilities(case_counts: Sequence[int], sampling: str) -> list[float]:
    """How often each dataset of the pool is drawn.

    Args:
        case_counts: n of each dataset.
        sampling: ``case``: all cases of the pool alike, proportional to n; ``sqrt``: to the root of n;
            ``dataset``: all datasets alike.
    """
    exponent = {"case": 1.0, "sqrt": 0.5, "dataset": 0.0}[sampling]
    weights = [count**exponent for count in case_counts]
    return [weight / sum(weights) for weight in weights]
