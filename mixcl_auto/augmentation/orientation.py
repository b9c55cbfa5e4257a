"""Fine-tuning's quarter turns and flips, on image and labels alike.

batchgenerators' ``Rot90Transform`` turns patches of unequal sides into another shape or fails, and its
``MirrorTransform`` flips each axis at 1/2 after one common draw; the paper wants 0.2 for each flip.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = tuple[int, int]


@dataclass(frozen=True)
class OrientationSettings:
    """How often patches are turned and flipped.

    Attributes:
        rotation_probability: Of one rotation by 90, 180 or 270 degrees.
        flip_probability: Of each axis's flip, independently.
        planes: Pairs of axes in which rotations may turn; (0, 1) is the axial plane.
    """

    rotation_probability: float = 0.2
    flip_probability: float = 0.2
    planes: tuple[Plane, ...] = ((0, 1), (0, 2), (1, 2))


def reorient(
    image: NDArray[np.float32],
    labels: NDArray[Any],
    settings: OrientationSettings,
    generator: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Rotate in one plane, then flip along each axis, each with its probability.

    The plane is drawn among those whose sides are equal, so that the shape stays. Where there is none, the
    rotation is by 180 degrees, in any of the planes.

    Args:
        image: (x, y, z); not changed.
        labels: Of the same shape; not changed.
        settings: Probabilities and planes.
        generator: The only source of chance.

    Returns:
        Image and labels of the same shape, C-contiguous.
    """
    turned: list[NDArray[Any]] = [image, labels]
    if settings.planes and generator.random() < settings.rotation_probability:
        plane, quarters = _draw_turn(image.shape, settings.planes, generator)
        turned = [np.rot90(array, quarters, plane) for array in turned]
    axes = tuple(axis for axis in range(3) if generator.random() < settings.flip_probability)
    new_image, new_labels = (np.ascontiguousarray(np.flip(array, axes)) for array in turned)
    return new_image, new_labels


def _draw_turn(
    shape: tuple[int, ...], planes: tuple[Plane, ...], generator: np.random.Generator
) -> tuple[Plane, int]:
    """Draw a plane and a number of quarter turns that keep the shape."""
    square = [plane for plane in planes if shape[plane[0]] == shape[plane[1]]]
    if square:
        return square[int(generator.integers(len(square)))], int(generator.integers(1, 4))
    return planes[int(generator.integers(len(planes)))], 2
