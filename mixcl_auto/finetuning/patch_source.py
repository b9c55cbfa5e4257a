"""Patches for fine-tuning: drawn, turned and distorted in the same way whatever the initial weights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixcl_auto.augmentation.intensity import FinetuneSettings, distort_for_finetuning
from mixcl_auto.augmentation.orientation import OrientationSettings, reorient
from mixcl_auto.io.case_cache import CaseReader
from mixcl_auto.training.patches import (
    Index,
    Placement,
    draw_foreground_voxel,
    lower_holding,
    random_lower,
    read_padded,
)
from mixcl_auto.training.samples import Note, Sample, note_nothing
from mixcl_auto.transforms.intensity import to_unit_range


@dataclass(frozen=True, kw_only=True)
class PatchSettings:
    """How patches are drawn.

    Attributes:
        patch_size: voxels.
        window_steps: of the cache's numbers, mapped to [0, 1]; its lower end fills what lies outside a scan.
        foreground_fraction: share of the run's patches that is drawn for a labelled voxel.
        foreground_placement: where in the patch that voxel is.
        orientation: flips and rotations.
        intensity: scale and shift.
    """

    patch_size: Index
    window_steps: tuple[float, float]
    foreground_fraction: float
    foreground_placement: Placement
    orientation: OrientationSettings
    intensity: FinetuneSettings


class PatchSource:
    """Draws patches from the training cases.

    Args:
        cases: at least one.
        settings: how.
    """

    def __init__(self, cases: Sequence[CaseReader], settings: PatchSettings) -> None:
        self.cases = tuple(cases)
        self.settings = settings
        self.note: Note = note_nothing

    def draw(self, generator: np.random.Generator, number: int) -> Sample:
        """One patch; ``number`` decides whether it is drawn for a label."""
        settings = self.settings
        case = self.cases[int(generator.integers(len(self.cases)))]
        self.note(case.record.id)
        lower = self._draw_position(case, is_foreground(number, settings.foreground_fraction), generator)
        padding = math.floor(settings.window_steps[0])
        cached = read_padded(case.image, lower, settings.patch_size, case.shape, padding=padding)
        labels = read_padded(case.labels, lower, settings.patch_size, case.shape, padding=0)
        image = to_unit_range(cached, settings.window_steps)
        image, labels = reorient(image, labels, settings.orientation, generator)
        image = distort_for_finetuning(image, settings.intensity, generator)
        return Sample({"image": image[None], "labels": labels}, (case.record.id,))

    def warm(self) -> None:
        """Compile the scaling and import the distortions."""
        image = to_unit_range(np.zeros((1, 1, 1), np.int16), self.settings.window_steps)
        distort_for_finetuning(image, self.settings.intensity, np.random.default_rng(0))

    def _draw_position(self, case: CaseReader, foreground: bool, generator: np.random.Generator) -> Index:
        size = self.settings.patch_size
        if foreground:
            classes = [label for label in case.foreground if label > 0]
            voxel = draw_foreground_voxel(case.foreground, classes, generator)
            if voxel is not None:
                return lower_holding(voxel, case.shape, size, self.settings.foreground_placement, generator)
        return random_lower(case.shape, size, generator)


def is_foreground(number: int, fraction: float) -> bool:
    """Whether a run's sample is drawn for a label: of the first n samples ceil(n * fraction) are."""
    # A tolerance, or 3 * (1 / 3) and its like would round up once too often.
    return math.ceil((number + 1) * fraction - 1e-9) > math.ceil(number * fraction - 1e-9)
