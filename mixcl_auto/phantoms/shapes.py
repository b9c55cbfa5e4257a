"""Organ outlines as signed distances: positive inside, in mm, approximate away from the surface."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.phantoms.grid import Axes, Box, Grid, Vector
from mixcl_auto.phantoms.smooth_field import Field, SmoothField


@dataclass(frozen=True)
class Roughness:
    """How far an outline strays from its ideal shape."""

    field: SmoothField
    amplitude_mm: float


@dataclass(frozen=True)
class Blob:
    """A rotated, bent ellipsoid.

    ``bend_per_mm`` curves it along its own first axis: v is replaced by v + bend u^2, which turns an
    ellipsoid into a bean or a crescent.
    """

    centre_mm: Vector
    radii_mm: Vector
    rotation: NDArray[np.float64]
    """3 x 3; its columns are the blob's own axes (u, v, w) in the patient's frame."""
    bend_per_mm: float
    roughness: Roughness

    def box(self, grid: Grid) -> Box:
        """Where on the grid it can be."""
        sag = abs(self.bend_per_mm) * self.radii_mm[0] ** 2
        reach = max(self.radii_mm) + sag + 3 * self.roughness.amplitude_mm + 6
        return grid.box(self.centre_mm, (reach, reach, reach))

    def distance_mm(self, axes: Axes) -> Field:
        """Signed distance to its surface, k0 (1 - k0) / k1 with k0 = |q / r| and k1 = |q / r^2|."""
        u, v, w = self._own_coordinates(axes)
        v = v + np.float32(self.bend_per_mm) * u * u
        a, b, c = (np.float32(radius) for radius in self.radii_mm)
        scaled = np.sqrt((u / a) ** 2 + (v / b) ** 2 + (w / c) ** 2) + np.float32(1e-6)
        slope = np.sqrt((u / a**2) ** 2 + (v / b**2) ** 2 + (w / c**2) ** 2) + np.float32(1e-6 / max(a, b, c))
        rough = np.float32(self.roughness.amplitude_mm) * self.roughness.field.on(axes)
        return np.asarray(scaled * (1 - scaled) / slope + rough, dtype=np.float32)

    def _own_coordinates(self, axes: Axes) -> list[Field]:
        offsets = [
            (axis - middle).astype(np.float32) for axis, middle in zip(axes, self.centre_mm, strict=True)
        ]
        x, y, z = offsets[0][:, None, None], offsets[1][None, :, None], offsets[2][None, None, :]
        weights = self.rotation.T.astype(np.float32)
        return [row[0] * x + row[1] * y + row[2] * z for row in weights]


@dataclass(frozen=True)
class Tube:
    """A tube that runs along z through the whole scan, with a wavy centreline and a varying radius."""

    centre_mm: tuple[float, float]
    """x and y of the centreline at z = 0."""
    slope: tuple[float, float]
    """Drift of x and y per mm of z."""
    sway_mm: float
    sway_wavelength_mm: float
    sway_phase: float
    radius_mm: float
    bulge_mm: float
    """How much the radius swells and shrinks along z, as a vertebral column's does."""
    bulge_wavelength_mm: float
    roughness: Roughness

    def box(self, grid: Grid) -> Box:
        """Where on the grid it can be."""
        length = grid.shape[2] * grid.spacing_mm[2]
        furthest = max(abs(grid.lower_mm[2]), abs(grid.lower_mm[2] + length))
        width = self.radius_mm + self.bulge_mm + self.sway_mm + 3 * self.roughness.amplitude_mm + 6
        reach = (width + abs(self.slope[0]) * furthest, width + abs(self.slope[1]) * furthest, furthest)
        return grid.box((*self.centre_mm, 0.0), reach)

    def distance_mm(self, axes: Axes) -> Field:
        """Signed distance to its wall, measured in the axial plane."""
        z = axes[2]
        turn = 2 * np.pi * z / self.sway_wavelength_mm + self.sway_phase
        middle_x = self.centre_mm[0] + self.slope[0] * z + self.sway_mm * np.sin(turn)
        middle_y = self.centre_mm[1] + self.slope[1] * z + self.sway_mm * np.cos(turn)
        radius = self.radius_mm + self.bulge_mm * np.cos(2 * np.pi * z / self.bulge_wavelength_mm)
        x = (axes[0][:, None] - middle_x[None, :]).astype(np.float32)
        y = (axes[1][:, None] - middle_y[None, :]).astype(np.float32)
        away = np.sqrt(x[:, None, :] ** 2 + y[None, :, :] ** 2)
        rough = np.float32(self.roughness.amplitude_mm) * self.roughness.field.on(axes)
        return np.asarray(radius.astype(np.float32) - away + rough, dtype=np.float32)
