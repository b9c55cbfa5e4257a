"""Intensity distortions of a patch in [0, 1]: the views' (decision 15) and fine-tuning's.

The results are not clipped to [0, 1]. Clipping would turn noise on air and bone, which lie at the window's
ends, into a bias, and would undo shifts there; the patches that the views are to be restored to stay in [0,
1].
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.augmentation.global_generators import seeded_globals
from mixcl_auto.errors import PlanError


@dataclass(frozen=True)
class ViewSettings:
    """How a view is distorted (decision 15).

    Attributes:
        probability: Of each of the four distortions, independently.
        shift: Largest value added to all voxels or subtracted from them.
        gamma: Smallest and largest exponent; where they lie on both sides of 1, each side is equally likely.
        smoothing_sigma_voxels: Smallest and largest standard deviation of the Gaussian.
        noise_standard_deviation: Largest one; a patch's own is uniform from 0.
    """

    probability: float = 0.2
    shift: float = 0.1
    gamma: tuple[float, float] = (0.7, 1.5)
    smoothing_sigma_voxels: tuple[float, float] = (0.5, 1.0)
    noise_standard_deviation: float = 0.1

    def __post_init__(self) -> None:
        """Refuse ranges that batchgenerators would silently read otherwise."""
        if not 0.0 < self.gamma[0] <= self.gamma[1] or self.gamma[1] < 1.0:
            raise PlanError(f"gamma must be an ascending range that reaches 1 or more, got {self.gamma}")
        low, high = self.smoothing_sigma_voxels
        if not 0.0 <= low <= high:
            raise PlanError(f"smoothing_sigma_voxels must be an ascending range from 0 on, got {(low, high)}")


@dataclass(frozen=True)
class FinetuneSettings:
    """How the intensities of a fine-tuning patch are changed.

    Attributes:
        probability: Of each of the two changes, independently.
        scale: Largest relative change of all values: they are multiplied by 1 - scale to 1 + scale.
        shift: Largest value added to all voxels or subtracted from them.
    """

    probability: float = 0.2
    scale: float = 0.1
    shift: float = 0.1


def distort_view(
    patch: NDArray[np.float32], settings: ViewSettings, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Shift the range, apply a gamma curve, smooth and add noise, each with its probability.

    The gamma curve runs between the patch's own minimum and maximum, which stay; the noise is Gaussian with a
    standard deviation, whatever batchgenerators' ``noise_variance`` is called.

    Args:
        patch: (x, y, z) in [0, 1]; not changed.
        settings: The ranges.
        generator: The only source of chance.

    Returns:
        A view of the same shape; a plain copy where nothing was drawn.
    """
    from batchgenerators.transforms.color_transforms import GammaTransform
    from batchgenerators.transforms.noise_transforms import GaussianBlurTransform, GaussianNoiseTransform

    # batchgenerators casts a sigma to the type of the range's first end: whole numbers would be cut to one.
    sigma = (float(settings.smoothing_sigma_voxels[0]), float(settings.smoothing_sigma_voxels[1]))
    noise = (0.0, float(settings.noise_standard_deviation))
    transforms = [
        GammaTransform(settings.gamma, retain_stats=False, p_per_sample=settings.probability),
        GaussianBlurTransform(sigma, p_per_sample=settings.probability),
        GaussianNoiseTransform(noise, p_per_sample=settings.probability),
    ]
    shifted = _shift(patch, settings.shift, settings.probability, generator)
    return _apply(transforms, shifted, generator)


def distort_for_finetuning(
    patch: NDArray[np.float32], settings: FinetuneSettings, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Scale and shift the intensities, each with its probability.

    Args:
        patch: (x, y, z) in [0, 1]; not changed.
        settings: The ranges.
        generator: The only source of chance.

    Returns:
        A patch of the same shape; a plain copy where nothing was drawn.
    """
    from batchgenerators.transforms.color_transforms import BrightnessMultiplicativeTransform

    factors = (1.0 - settings.scale, 1.0 + settings.scale)
    scaling = BrightnessMultiplicativeTransform(factors, per_channel=False, p_per_sample=settings.probability)
    scaled = _apply([scaling], np.array(patch, np.float32), generator)
    return _shift(scaled, settings.shift, settings.probability, generator)


def _shift(
    patch: NDArray[np.float32], largest: float, probability: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return a copy, shifted with the given probability; batchgenerators' shifts have no bound."""
    amount = generator.uniform(-largest, largest) if generator.random() < probability else 0.0
    return np.asarray(patch + np.float32(amount), np.float32)


def _apply(
    transforms: Sequence[Callable[..., dict[str, Any]]],
    patch: NDArray[np.float32],
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    """Run batchgenerators' transforms on one patch, which they may overwrite."""
    batch = {"data": patch[None, None]}
    with seeded_globals(generator):
        for transform in transforms:
            batch = transform(**batch)
    distorted: NDArray[np.float32] = batch["data"][0, 0]
    return distorted
