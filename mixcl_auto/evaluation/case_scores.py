"""Every figure of every organ of one case.

The rule for organs, so that a missed one never improves a mean: an organ in neither map is not counted; an
organ in one map only has Dice 0, surface Dice 0 and, for HD95, the diagonal of the scan.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.errors import DataError
from mixcl_auto.io.images import Volume
from mixcl_auto.io.orientation import corners_mm, spacing_drift_voxels
from mixcl_auto.metrics.dice import confusion_counts, dice_from_counts, dice_per_label
from mixcl_auto.metrics.surface_distance import surface_scores_per_label
from mixcl_auto.records.score import OrganScore

LabelMap = NDArray[np.integer]

_SPACING_VOXELS = 0.5
"""What a difference of spacing may add up to over the scan: more than validation forgives between a scan and
its label map, so that what was trained on is scored."""
_FARTHEST_VOXELS = 1.0
"""How far apart two grids may lie anywhere, in the largest voxel side; headers are rounded, flips are not."""


@dataclass(frozen=True)
class CaseMaps:
    """What is compared of one case; all arrays (x, y, z) in RAS."""

    case: str
    patient: str
    reference: LabelMap
    prediction: LabelMap
    spacing_mm: tuple[float, float, float]
    resampled: tuple[LabelMap, LabelMap] | None = None
    """Reference and prediction on the plan's grid, where there is one."""


def score_case(maps: CaseMaps, labels: Mapping[str, int], *, tolerance_mm: float) -> list[OrganScore]:
    """Score every organ of a case.

    Args:
        maps: of the case.
        labels: organ to value.
        tolerance_mm: of surface Dice.

    Returns:
        One score per organ, in the order of ``labels``.

    Raises:
        DataError: if reference and prediction differ in shape.
    """
    if maps.reference.shape != maps.prediction.shape:
        raise DataError(
            f"case {maps.case}: the prediction has shape {maps.prediction.shape}, the reference "
            f"{maps.reference.shape} (x, y, z); predict it again on its own grid"
        )
    values = list(labels.values())
    counts = confusion_counts(maps.reference, maps.prediction, values)
    of_reference, of_prediction = counts.sum(axis=1), counts.sum(axis=0)
    surfaces = surface_scores_per_label(
        maps.reference, maps.prediction, values, maps.spacing_mm, tolerance_mm=tolerance_mm
    )
    resampled = dice_per_label(*maps.resampled, values) if maps.resampled else {}
    return [
        OrganScore(
            case=maps.case,
            patient=maps.patient,
            organ=organ,
            label=label,
            dice=dice_from_counts(int(counts[i, i]), int(of_reference[i]), int(of_prediction[i])),
            dice_resampled=resampled.get(label),
            hd95_mm=surfaces[label].hd95_mm,
            surface_dice=surfaces[label].surface_dice,
            reference_voxels=int(of_reference[i]),
            prediction_voxels=int(of_prediction[i]),
        )
        for i, (organ, label) in enumerate(labels.items(), start=1)
    ]


def check_grids(case: str, reference: Volume, prediction: Volume) -> None:
    """See that two label maps of a case have one grid.

    Raises:
        DataError: naming both grids.
    """
    shape = reference.array.shape
    drift_voxels = spacing_drift_voxels(shape, reference.spacing_mm, prediction.spacing_mm)
    if shape != prediction.array.shape or drift_voxels > _SPACING_VOXELS:
        raise DataError(
            f"case {case}: the grids differ: the reference has {_grid(reference)}, the prediction "
            f"{_grid(prediction)} (RAS); write the prediction on the scan's own grid"
        )
    apart_mm = np.linalg.norm(corners_mm(reference.geometry) - corners_mm(prediction.geometry), axis=1).max()
    if apart_mm > _FARTHEST_VOXELS * max(reference.spacing_mm):
        raise DataError(
            f"case {case}: the grids lie up to {apart_mm:.1f} mm apart in space (origin or direction differ)"
            "; write the prediction with its scan's origin and direction"
        )


def _grid(volume: Volume) -> str:
    shape = " x ".join(str(side) for side in volume.array.shape)
    return f"{shape} voxels of {' x '.join(f'{side:g}' for side in volume.spacing_mm)} mm"
