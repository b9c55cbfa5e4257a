"""How large each organ is and what the scan's values are in it."""

import math
from collections.abc import Mapping

from mixcl_auto.io.images import Volume
from mixcl_auto.records.prediction import (
    SIDES,
    OrganExtent,
    OrganHounsfield,
    OrganIntensity,
    ScanStatistics,
    Side,
)
from mixcl_auto.transforms.label_tally import LabelTally

_MM3_PER_ML = 1000.0


def scan_statistics(
    scan: str, volume: Volume, tally: LabelTally, organs: Mapping[str, int], *, is_ct: bool
) -> ScanStatistics:
    """The statistics of a segmented scan.

    Args:
        scan: its name.
        volume: the scan, in RAS.
        tally: of its label map and its values.
        organs: name to label value.
        is_ct: whether the values are HU.
    """
    found = {
        organ: _organ(label, volume, tally, is_ct=is_ct)
        for organ, label in sorted(organs.items(), key=lambda item: item[1])
    }
    return ScanStatistics(scan=scan, spacing_mm=volume.spacing_mm, organs=found)


def volume_ml(voxels: int, spacing_mm: tuple[float, float, float]) -> float:
    """The volume of that many voxels."""
    return voxels * math.prod(spacing_mm) / _MM3_PER_ML


def _organ(label: int, volume: Volume, tally: LabelTally, *, is_ct: bool) -> OrganHounsfield | OrganIntensity:
    extent = _extent(label, volume, tally)
    mean, deviation = (
        round(float(values[label]), 2) if math.isfinite(values[label]) else None
        for values in (tally.mean, tally.standard_deviation)
    )
    fields = extent.model_dump()
    if is_ct:
        return OrganHounsfield(**fields, mean_hu=mean, standard_deviation_hu=deviation)
    return OrganIntensity(**fields, mean_intensity=mean, standard_deviation_intensity=deviation)


def _extent(label: int, volume: Volume, tally: LabelTally) -> OrganExtent:
    voxels = int(tally.voxels[label])
    bounds = tally.bounds(label) or ((0, -1), (0, -1), (0, -1))
    x, y, z = (
        round((last + 1 - first) * spacing, 2)
        for (first, last), spacing in zip(bounds, volume.spacing_mm, strict=True)
    )
    touches: list[Side] = []
    for (first, last), n, (low, high) in zip(bounds, volume.array.shape, SIDES, strict=True):
        touches += [
            side for side, reached in ((low, first == 0), (high, last == n - 1)) if voxels and reached
        ]
    return OrganExtent(
        label=label,
        voxels=voxels,
        volume_ml=round(volume_ml(voxels, volume.spacing_mm), 3),
        extent_mm=(x, y, z),
        touches=tuple(touches),
    )
