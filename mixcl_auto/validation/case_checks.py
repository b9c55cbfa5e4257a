"""Checks of one case: each a small function of what was read, collected in ``CASE_CHECKS``."""

from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path

import numpy as np

from mixcl_auto.io.hounsfield import implausible_hu
from mixcl_auto.io.orientation import corners_mm, ras_shape, spacing_drift_voxels
from mixcl_auto.io.plausible_size import implausible_extent, implausible_spacing
from mixcl_auto.records.case import Geometry, RawDataset, times
from mixcl_auto.records.finding import Finding
from mixcl_auto.records.inspection import CaseInspection

CaseCheck = Callable[[RawDataset, CaseInspection], Iterator[Finding]]

_ERROR_VOXELS = 0.25
"""Misfit of two grids, in voxels anywhere in the scan, above which a label map is off its image."""
_WARNING_VOXELS = 0.01


def files_are_readable(dataset: RawDataset, found: CaseInspection) -> Iterator[Finding]:
    """Missing, empty, truncated or unreadable files; axes, channels and label values that can't be used."""
    for file, message in found.problems.items():
        yield _finding("error", found, _located(file, message), file if _is_path(file) else None)


def reading_was_sure(dataset: RawDataset, found: CaseInspection) -> Iterator[Finding]:
    """Where a reader had to choose or to guess, a human should look: series, orientations."""
    for file, note in found.notes.items():
        yield _finding("warning", found, _located(file, note), file)


def shapes_agree(dataset: RawDataset, found: CaseInspection) -> Iterator[Finding]:
    """The label map has as many voxels as its image, along every axis."""
    if found.image and found.label and not _as_many_voxels(found.image.geometry, found.label.geometry):
        image, label = found.image.geometry.size, found.label.geometry.size
        message = f"the label map has {times(label)} voxels, its image {times(image)}; give the matching pair"
        yield _finding("error", found, message, found.label.path)


def grids_agree(dataset: RawDataset, found: CaseInspection) -> Iterator[Finding]:
    """Spacing, origin and direction of the label map are its image's; rounding in the header is forgiven.

    So is another order of the axes in the file, as a series and the label map of its NIfTI have.
    """
    if not (found.image and found.label) or not _as_many_voxels(found.image.geometry, found.label.geometry):
        return
    image, label = found.image.geometry, found.label.geometry
    if _same_voxels_in_another_order(image, label):
        return
    for what, values, misfit in _misfits_voxels(image, label):
        if misfit > _WARNING_VOXELS:
            message = f"{what} {values} differ, by up to {misfit:.3g} voxels within the scan"
            is_off = misfit > _ERROR_VOXELS
            advice = (
                "write the image's header to the label map" if is_off else "nothing to do if it is rounding"
            )
            severity = "error" if is_off else "warning"
            yield _finding(severity, found, f"{message}; {advice}", found.label.path)


def values_are_finite(dataset: RawDataset, found: CaseInspection) -> Iterator[Finding]:
    """No NaN or infinity in the image."""
    if found.image and found.non_finite_voxels:
        share = f"{found.non_finite_voxels} of {prod(found.image.geometry.size)} voxels"
        advice = "write numbers there (air is -1024 HU in CT), or export the scan again"
        message = f"{share} are NaN or infinite; {advice}"
        yield _finding("error", found, message, found.image.path)


def image_varies(dataset: RawDataset, found: CaseInspection) -> Iterator[Finding]:
    """The image is not one value throughout."""
    values = found.intensities
    if found.image and values and values.minimum == values.maximum:
        message = f"all voxels are {values.minimum:g}; export the scan again"
        yield _finding("error", found, message, found.image.path)


def hounsfield_units_are_plausible(dataset: RawDataset, found: CaseInspection) -> Iterator[Finding]:
    """CT is in Hounsfield units."""
    values = found.intensities
    if not (found.image and values and dataset.is_ct) or values.minimum == values.maximum:
        return
    if message := implausible_hu(values):
        yield _finding("warning", found, message, found.image.path)


def size_is_physical(dataset: RawDataset, found: CaseInspection) -> Iterator[Finding]:
    """Spacing, extent and number of slices are those of a body scan."""
    if not found.image:
        return
    grid = found.image.geometry
    if message := implausible_spacing(grid):
        yield _finding("error", found, message, found.image.path)
    elif message := implausible_extent(grid):
        yield _finding("warning", found, message, found.image.path)


def labels_are_declared(dataset: RawDataset, found: CaseInspection) -> Iterator[Finding]:
    """Every label value stands in ``dataset.json``."""
    unknown = sorted(set(found.label_voxels) - {0, *dataset.labels.values()})
    if found.label and unknown:
        some = ", ".join(map(str, unknown[:10])) + (" ..." if len(unknown) > 10 else "")
        message = f"label values {some} are not in dataset.json, which has 0 to {len(dataset.labels)}"
        yield _finding("error", found, f"{message}; declare or remove them", found.label.path)


def something_is_labelled(dataset: RawDataset, found: CaseInspection) -> Iterator[Finding]:
    """The label map is not empty."""
    if found.label and not any(found.label_voxels.get(value) for value in found.label_voxels if value > 0):
        message = "nothing is labelled; the case serves as background only"
        yield _finding("warning", found, message, found.label.path)


CASE_CHECKS: tuple[CaseCheck, ...] = (
    files_are_readable,
    reading_was_sure,
    shapes_agree,
    grids_agree,
    values_are_finite,
    image_varies,
    hounsfield_units_are_plausible,
    size_is_physical,
    labels_are_declared,
    something_is_labelled,
)


def _as_many_voxels(image: Geometry, label: Geometry) -> bool:
    return ras_shape(image) == ras_shape(label)


def _same_voxels_in_another_order(image: Geometry, label: Geometry) -> bool:
    apart_mm = np.abs(corners_mm(image) - corners_mm(label)).max()
    return image.orientation != label.orientation and apart_mm <= _ERROR_VOXELS * min(image.spacing_mm)


def _misfits_voxels(image: Geometry, label: Geometry) -> Iterator[tuple[str, str, float]]:
    """What differs, both values, and how far apart it puts a voxel of the scan, in voxels."""
    voxel_mm = np.array(image.spacing_mm)
    size = np.array(image.size)
    extent_mm = float((size * voxel_mm).max())
    spacing = spacing_drift_voxels(image.size, image.spacing_mm, label.spacing_mm)
    yield "spacings", f"({times(label.spacing_mm)} and {times(image.spacing_mm)} mm)", spacing
    origin = np.abs(np.subtract(image.origin_mm, label.origin_mm)).max() / voxel_mm.min()
    yield "origins", f"({_list(label.origin_mm)} and {_list(image.origin_mm)} mm)", float(origin)
    turn = np.abs(np.subtract(image.direction, label.direction)).max() * extent_mm / voxel_mm.min()
    yield "directions", f"({label.orientation} and {image.orientation})", float(turn)


def _located(file: str, message: str) -> str:
    """The message after the file's name and folder; what is no path has none."""
    path = Path(file)
    return f"{path.parent.name}/{path.name}: {message}" if _is_path(file) else message


def _is_path(file: str) -> bool:
    """Whether a problem is one of a file, and not of what is not given."""
    return Path(file).name != file


def _finding(severity: str, found: CaseInspection, message: str, file: str | None) -> Finding:
    level = "error" if severity == "error" else "warning"
    return Finding(severity=level, dataset=found.dataset, case=found.case, file=file, message=message)


def _list(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)
