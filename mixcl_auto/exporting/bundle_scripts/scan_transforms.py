"""A scan to what the network was trained on, and its output back to the scan's own grid."""

import math
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import nibabel
import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.spatial.array import Orientation
from monai.transforms.transform import MapTransform
from numpy.typing import NDArray

from mixcl_auto.exporting.bundle_scripts.scan_files import check_placement
from mixcl_auto.transforms.intensity import to_unit_range
from mixcl_auto.transforms.label_upsampling import upsample_argmax
from mixcl_auto.transforms.standardise import standardise_image

_AXES = (("L", "R"), ("P", "A"), ("I", "S"))
_SAME_SPACING = 1e-4
"""Relative; far above the rounding of a header's float32, far below any true difference."""


class Standardised(MapTransform):
    """Turn a scan to RAS, resample it by cubic spline, clip it to the window and map this to [0, 1].

    MONAI's ``Spacingd`` places voxels otherwise and would give other labels, and its ``Orientationd`` writes
    the affine's spacing over the header's. What the way back needs is kept in the result's ``meta``.
    """

    def __init__(
        self,
        keys: str | Sequence[str],
        spacing_mm: Sequence[float],
        window_hu: Sequence[float],
        intensity_step: float,
    ) -> None:
        """Take what ``configs/export.json`` says of the network's input."""
        super().__init__(keys)
        self.spacing_mm, self.window_hu = list(spacing_mm), list(window_hu)
        self.intensity_step = intensity_step

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each scan (1, X, Y, Z).

        Raises:
            DataError: if its file does not say, or not in one way, where its voxels lie.
        """
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self._standardise(result[key])
        return result

    def _standardise(self, scan: MetaTensor) -> MetaTensor:
        check_placement(Path(str(scan.meta["filename_or_obj"])))
        stated_mm = [float(side) for side in np.asarray(scan.meta.get("pixdim", [])).ravel()[1:4]]
        scan = _oriented(scan, "RAS")
        spacing_mm = header_spacing_mm(scan, stated_mm)
        values = np.ascontiguousarray(scan[0].numpy())
        steps = standardise_image(values, spacing_mm, self.spacing_mm, self.window_hu, self.intensity_step)
        window_steps = [bound / self.intensity_step for bound in self.window_hu]
        meta = {
            **_without_affine(scan.meta),
            "scan_shape": list(values.shape),
            "scan_spacing_mm": spacing_mm,
            "scan_affine": scan.affine.numpy().astype(np.float64),
        }
        unit = torch.from_numpy(to_unit_range(steps, window_steps)).unsqueeze(0)
        return MetaTensor(unit, affine=_resampled_affine(scan, spacing_mm, self.spacing_mm), meta=meta)


class LabelsOnScanGridd(MapTransform):
    """The class of the largest interpolated logit at every voxel of the scan, in the file's orientation."""

    def __init__(self, keys: str | Sequence[str], image_key: str, spacing_mm: Sequence[float]) -> None:
        """Take the key of the image that the logits were made of, and its spacing."""
        super().__init__(keys)
        self.image_key, self.spacing_mm = image_key, list(spacing_mm)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each (classes, X, Y, Z) by labels (1, X', Y', Z')."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self._labels(result[key], result[self.image_key].meta)
        return result

    def _labels(self, logits: torch.Tensor, meta: Mapping[str, Any]) -> MetaTensor:
        labels = upsample_argmax(
            np.asarray(logits.cpu()),
            [int(size) for size in meta["scan_shape"]],
            spacing_mm=self.spacing_mm,
            target_spacing_mm=[float(side) for side in meta["scan_spacing_mm"]],
        )
        in_ras = MetaTensor(
            torch.from_numpy(labels).unsqueeze(0), affine=torch.as_tensor(meta["scan_affine"])
        )
        original_affine = np.asarray(meta["original_affine"], np.float64)
        orientations: Any = nibabel.orientations
        axes = "".join(orientations.aff2axcodes(original_affine))
        return MetaTensor(
            _oriented(in_ras, axes), affine=torch.from_numpy(original_affine), meta=_without_affine(meta)
        )


def _oriented(scan: MetaTensor, axes: str) -> MetaTensor:
    """The array with its axes along these body axes, and its affine."""
    return cast(MetaTensor, Orientation(axcodes=axes, labels=_AXES)(scan))


def _without_affine(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in meta.items() if key != "affine"}


def header_spacing_mm(scan: MetaTensor, stated_mm: Sequence[float]) -> list[float]:
    """The spacing along the array's axes, as the file's header has it where that agrees with its affine.

    The affine's columns give it with a rounding of their own, which can tip the number of resampled voxels.

    Args:
        scan: with its affine.
        stated_mm: the header's three spacings, in any order; none where the format has no such field.
    """
    from_affine = np.linalg.norm(scan.affine.numpy().astype(np.float64)[:3, :3], axis=0)
    return [_as_stated(float(side), stated_mm) for side in from_affine]


def _as_stated(side: float, stated_mm: Sequence[float]) -> float:
    nearest = min(stated_mm, key=lambda other: abs(other - side), default=side)
    return nearest if math.isclose(nearest, side, rel_tol=_SAME_SPACING) else side


def _resampled_affine(
    scan: MetaTensor, spacing_mm: Sequence[float], target_spacing_mm: Sequence[float]
) -> torch.Tensor:
    """Where the resampled voxels lie: the two grids share the outer corner of their first voxel."""
    affine: NDArray[np.float64] = scan.affine.numpy().astype(np.float64)
    ratio = np.divide(target_spacing_mm, spacing_mm)
    to_source = np.diag([*ratio, 1.0])
    to_source[:3, 3] = (ratio - 1.0) / 2.0
    return torch.from_numpy(affine @ to_source)
