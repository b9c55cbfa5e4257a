"""The regular grid a phantom is sampled on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = tuple[float, float, float]
Shape = tuple[int, int, int]
Axes = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Grid:
    """Voxel centres in a patient's frame, RAS axes, in mm.

    Voxel ``i`` covers ``lower + [i s, (i + 1) s)`` along an axis, so that grids of the same lower corner and
    different spacings are related as an image and its resampling are.
    """

    shape: Shape
    spacing_mm: Vector
    lower_mm: Vector

    @classmethod
    def covering(cls, lower_mm: Vector, upper_mm: Vector, spacing_mm: Vector) -> "Grid":
        """The grid of that spacing which starts at one corner and ends nearest to the other."""
        sides = zip(lower_mm, upper_mm, spacing_mm, strict=True)
        x, y, z = (max(1, round((high - low) / step)) for low, high, step in sides)
        return cls((x, y, z), spacing_mm, lower_mm)

    def at_spacing(self, spacing_mm: Vector) -> "Grid":
        """The same extent at another spacing: round(n s / t) voxels, the same lower corner."""
        sides = zip(self.shape, self.spacing_mm, spacing_mm, strict=True)
        x, y, z = (max(1, round(count * old / new)) for count, old, new in sides)
        return Grid((x, y, z), spacing_mm, self.lower_mm)

    def axes(self) -> Axes:
        """The coordinates of the voxel centres along x, y and z."""
        x, y, z = (
            low + (np.arange(count, dtype=np.float64) + 0.5) * np.float64(step)
            for count, step, low in zip(self.shape, self.spacing_mm, self.lower_mm, strict=True)
        )
        return x, y, z

    def box(self, centre_mm: Vector, reach_mm: Vector) -> Box:
        """The part of the grid within ``reach_mm`` of a point; empty slices where that lies outside."""
        bounds = []
        for count, step, low, middle, reach in zip(
            self.shape, self.spacing_mm, self.lower_mm, centre_mm, reach_mm, strict=True
        ):
            first = int(np.clip(np.floor((middle - reach - low) / step), 0, count))
            last = int(np.clip(np.ceil((middle + reach - low) / step), 0, count))
            bounds.append(slice(first, last))
        return bounds[0], bounds[1], bounds[2]
