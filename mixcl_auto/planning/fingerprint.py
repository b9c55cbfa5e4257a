"""Fingerprints: what the planner's rules need to know of the raw data."""

from collections.abc import Sequence

import numpy as np

from mixcl_auto.errors import DataError
from mixcl_auto.io.orientation import ras_shape, ras_spacing_mm
from mixcl_auto.planning.mixture import mixture_quantiles
from mixcl_auto.records.fingerprint import CaseFingerprint, DatasetFingerprint, Intensities
from mixcl_auto.records.inspection import CaseInspection

Triple = tuple[float, float, float]


def fingerprint_case(found: CaseInspection) -> CaseFingerprint:
    """The measures of one case that was read.

    Raises:
        DataError: if a file of it could not be used.
    """
    if found.image is None or found.label is None or found.intensities is None:
        reason = "; ".join(f"{file}: {message}" for file, message in found.problems.items())
        raise DataError(f"{found.dataset}, case {found.case} can't be used: {reason}")
    return CaseFingerprint(
        id=found.case,
        patient=found.patient,
        image_hash=found.image.sha256,
        label_hash=found.label.sha256,
        shape=ras_shape(found.image.geometry),
        spacing_mm=ras_spacing_mm(found.image.geometry),
        orientation=found.image.geometry.orientation,
        label_voxels=found.label_voxels,
        image=found.intensities,
        foreground=found.foreground,
    )


def summarise(dataset: str, inspections: Sequence[CaseInspection]) -> DatasetFingerprint:
    """The measures of a dataset over its cases; each case counts equally, whatever its number of voxels.

    Raises:
        DataError: if there is no case, or one could not be used.
    """
    if not inspections:
        raise DataError(f"{dataset}: no case is left; correct the errors that `mixcl_auto validate` lists")
    cases = tuple(fingerprint_case(found) for found in inspections)
    shapes = np.array([case.shape for case in cases])
    spacings_mm = np.array([case.spacing_mm for case in cases])
    sketches = [found.foreground_quantiles for found in inspections if found.foreground_quantiles]
    quantiles = mixture_quantiles(sketches, np.linspace(0, 1, 201)) if sketches else ()
    return DatasetFingerprint(
        dataset=dataset,
        cases=cases,
        median_shape=_triple(np.median(shapes, axis=0)),
        median_spacing_mm=_triple(np.median(spacings_mm, axis=0)),
        spacing_percentile_10_mm=_triple(np.percentile(spacings_mm, 10, axis=0)),
        spacing_percentile_90_mm=_triple(np.percentile(spacings_mm, 90, axis=0)),
        foreground=_pooled(cases, quantiles),
        foreground_quantiles=quantiles,
    )


def _pooled(cases: Sequence[CaseFingerprint], quantiles: tuple[float, ...]) -> Intensities | None:
    parts = [case.foreground for case in cases if case.foreground is not None]
    if not parts:
        return None
    means = np.array([part.mean for part in parts])
    second_moments = np.array([part.std**2 + part.mean**2 for part in parts])
    mean = float(means.mean())
    return Intensities(
        voxels=sum(part.voxels for part in parts),
        mean=mean,
        std=max(0.0, float(second_moments.mean()) - mean**2) ** 0.5,
        minimum=min(part.minimum for part in parts),
        percentile_00_5=quantiles[1],
        median=quantiles[100],
        percentile_99_5=quantiles[199],
        maximum=max(part.maximum for part in parts),
    )


def _triple(values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Triple:
    x, y, z = (float(value) for value in values)
    return (x, y, z)
