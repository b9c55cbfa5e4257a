"""Smooth random functions of space, the source of a phantom's irregular outlines and textures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.phantoms.grid import Axes

Field = NDArray[np.float32]


@dataclass(frozen=True)
class SmoothField:
    """A sum of plane waves with mean 0 and variance 1 over space.

    f(p) = sqrt(2 / K) sum_k cos(w_k . p + phi_k): a band-limited stationary noise that can be evaluated at
    any point, so that the same patient can be sampled on any grid.
    """

    wave_vectors: NDArray[np.float64]
    """(K, 3), in radians per mm."""
    phases: NDArray[np.float64]

    @classmethod
    def draw(
        cls, generator: np.random.Generator, wavelengths_mm: tuple[float, float], waves: int
    ) -> "SmoothField":
        """Draw ``waves`` waves of isotropic directions and of wavelengths uniform in the range."""
        directions = generator.normal(size=(waves, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths = generator.uniform(*wavelengths_mm, size=(waves, 1))
        return cls(2 * np.pi * directions / lengths, generator.uniform(0, 2 * np.pi, waves))

    def on(self, axes: Axes) -> Field:
        """The field on the grid of these axes, (X, Y, Z).

        A plane wave on a regular grid is an outer product: cos(a + b) = cos a cos b - sin a sin b with a over
        the plane and b over the last axis.
        """
        x, y, z = (
            vectors[:, None] * axis[None, :] for vectors, axis in zip(self.wave_vectors.T, axes, strict=True)
        )
        plane = (x[:, :, None] + y[:, None, :] + self.phases[:, None, None]).reshape(len(self.phases), -1)
        left = np.concatenate([np.cos(plane), -np.sin(plane)]).astype(np.float32)
        right = np.concatenate([np.cos(z), np.sin(z)]).astype(np.float32)
        field = (left.T @ right) * np.float32(np.sqrt(2 / len(self.phases)))
        return field.reshape(len(axes[0]), len(axes[1]), len(axes[2]))
