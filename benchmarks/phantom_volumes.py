"""The scan that every benchmark of the data path works on: a phantom patient, sampled on any grid.

The patient is a formula, so that its true HU and labels are known on every grid, the resampled one too.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.io.images import write_image, write_labels
from mixcl_auto.phantoms.anatomy import LABELS, TEMPLATES
from mixcl_auto.phantoms.ct import add_noise
from mixcl_auto.phantoms.grid import Grid, Shape, Vector
from mixcl_auto.phantoms.patient import Patient, draw_patient
from mixcl_auto.workflows.phantom_datasets import grid_geometry

SHAPE: Shape = (512, 512, 150)
SPACING_MM: Vector = (0.8, 0.8, 2.5)
TARGET_MM: Vector = (1.5, 1.5, 2.0)
ORGANS = (*LABELS, "right_lung", "left_lung", "vertebrae")
"""Labelled 1 to 13 in this order."""
_SLICES = 16
"""Sampled at once: the memory is that of the result and little more."""


def phantom_grid(shape: Shape = SHAPE, spacing_mm: Vector = SPACING_MM) -> Grid:
    """A scanner's grid about the patient's middle; ``at_spacing`` is its resampling."""
    x, y, z = (-count * step / 2 for count, step in zip(shape, spacing_mm, strict=True))
    return Grid(shape, spacing_mm, (x, y, z))


def true_volume(grid: Grid) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """HU, not rounded, and labels of 13 organs at the voxel centres of a grid, (x, y, z) in RAS."""
    image, labels = np.empty(grid.shape, np.float32), np.empty(grid.shape, np.uint8)
    x, y, z = grid.lower_mm
    for start in range(0, grid.shape[2], _SLICES):
        stop = min(start + _SLICES, grid.shape[2])
        lower_mm = (x, y, z + start * grid.spacing_mm[2])
        slab = Grid((*grid.shape[:2], stop - start), grid.spacing_mm, lower_mm)
        image[:, :, start:stop], labels[:, :, start:stop] = _patient().sample(slab)
    return image, labels


def phantom_scan(
    shape: Shape = SHAPE, spacing_mm: Vector = SPACING_MM, *, noise_hu: float = 0.0
) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """The same patient as a scanner writes it: int16 HU and labels, (x, y, z) in RAS."""
    image, labels = true_volume(phantom_grid(shape, spacing_mm))
    if noise_hu > 0.0:
        return add_noise(image, noise_hu, np.random.default_rng(0)), labels
    np.rint(image, out=image)
    return image.astype(np.int16), labels


def write_phantom(
    folder: Path, shape: Shape = SHAPE, spacing_mm: Vector = SPACING_MM, *, noise_hu: float = 0.0
) -> tuple[Path, Path]:
    """Write the scan and its label map as gzip NIfTI with axes as scanners write them (LPS)."""
    image, labels = phantom_scan(shape, spacing_mm, noise_hu=noise_hu)
    geometry = grid_geometry(shape, spacing_mm, "LPS")
    paths = folder / "phantom_0000.nii.gz", folder / "phantom.nii.gz"
    write_image(paths[0], image, spacing_mm, geometry)
    write_labels(paths[1], labels, geometry)
    return paths


def rmse_hu(image: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Root mean square difference of two images of one shape."""
    return float(np.sqrt(np.mean((image - truth) ** 2, dtype=np.float64)))


def mean_dice(labels: NDArray[np.integer], truth: NDArray[np.integer]) -> float:
    """Mean over the organs of the Dice coefficient of two label maps of one shape."""
    count = len(ORGANS) + 1
    both = np.bincount(truth[labels == truth].ravel(), minlength=count)
    sizes = np.bincount(labels.ravel(), minlength=count) + np.bincount(truth.ravel(), minlength=count)
    return float(np.mean(2 * both[1:] / sizes[1:]))


@cache
def _patient() -> Patient:
    """One draw of the standard anatomy, with 13 of its structures labelled."""
    patient = draw_patient(np.random.default_rng(0))
    values = {organ: value for value, organ in enumerate(ORGANS, start=1)}
    tissues = zip(TEMPLATES, patient.tissues, strict=True)
    labelled = (replace(tissue, label=values.get(template.name, 0)) for template, tissue in tissues)
    return replace(patient, tissues=tuple(labelled))
