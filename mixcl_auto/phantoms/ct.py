"""Phantom CT scans: a patient sampled on a grid, with the scanner's noise."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mixcl_auto.phantoms.anatomy import EXTENT_MM, LABELS
from mixcl_auto.phantoms.grid import Grid, Vector
from mixcl_auto.phantoms.patient import draw_patient
from mixcl_auto.phantoms.smooth_field import Field

NOISE_CORRELATION_VOXELS = 0.6


def make_patient(
    generator: np.random.Generator,
    *,
    spacing_mm: Vector | None = None,
    extent_mm: Vector = EXTENT_MM,
    noise_hu: float = 12.0,
    contrast: float = 1.0,
) -> tuple[NDArray[np.int16], NDArray[np.uint8], Vector]:
    """Draw a patient and scan it.

    Args:
        generator: the only source of chance.
        spacing_mm: voxel size; drawn as an anisotropic one of 3.8-4.8 x (the same) x 3.5-6 mm if not given.
        extent_mm: the field of view, about the trunk's middle.
        noise_hu: standard deviation of the scanner's noise.
        contrast: see ``draw_patient``.

    Returns:
        HU (int16), labels of all organs of ``LABELS`` (uint8), both (X, Y, Z) in RAS, and the spacing in mm.
    """
    if spacing_mm is None:
        in_plane = float(np.round(generator.uniform(3.8, 4.8), 3))
        spacing_mm = (in_plane, in_plane, float(np.round(generator.uniform(3.5, 6.0), 2)))
    grid = Grid.covering(_half(extent_mm, -0.5), _half(extent_mm, 0.5), spacing_mm)
    image, labels = draw_patient(generator, contrast=contrast).sample(grid)
    return add_noise(image, noise_hu, generator), labels, spacing_mm


def add_noise(image: Field, noise_hu: float, generator: np.random.Generator) -> NDArray[np.int16]:
    """Add slightly correlated Gaussian noise of that standard deviation; round, and keep to CT's range."""
    noise = generator.standard_normal(image.shape, dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, NOISE_CORRELATION_VOXELS, mode="wrap")
    noise *= noise_hu / max(float(noise.std()), 1e-6)
    return np.asarray(np.clip(np.rint(image + noise), -1024, 3071), dtype=np.int16)


def keep_organs(labels: NDArray[np.uint8], organs: Sequence[str]) -> NDArray[np.uint8]:
    """The label map of a dataset that annotates only these organs, numbered from 1 in the order given.

    Raises:
        KeyError: if an organ is not in ``LABELS``.
    """
    table = np.zeros(256, dtype=np.uint8)
    for value, organ in enumerate(organs, start=1):
        table[LABELS[organ]] = value
    return table[labels]


def _half(extent_mm: Vector, share: float) -> Vector:
    return extent_mm[0] * share, extent_mm[1] * share, extent_mm[2] * share
