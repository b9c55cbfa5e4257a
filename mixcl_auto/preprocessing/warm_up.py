"""The compiled kernels of preprocessing, made ready before several processes need them."""

import numpy as np

from mixcl_auto.transforms.foreground import foreground_coordinates
from mixcl_auto.transforms.standardise import standardise_image, standardise_labels
from mixcl_auto.transforms.weight_map import boundary_codes


def warm_up() -> None:
    """Compile the kernels, or load them from numba's cache, before several processes would do so at once."""
    spacing_mm, target_mm = (1.0, 1.0, 1.0), (1.5, 1.5, 1.5)
    for image in (np.zeros((3, 4, 5), np.int16), np.zeros((3, 4, 5), np.float32)):
        for volume in (image, image.T):
            standardise_image(volume, spacing_mm, target_mm, (-150.0, 250.0), 1.0)
    labels = np.zeros((3, 4, 5), np.uint8)
    labels[0] = 1
    standard = standardise_labels(labels, spacing_mm, target_mm)
    standardise_labels(labels.T, spacing_mm, target_mm)
    for unit_mm in (None, target_mm):
        boundary_codes(standard, spacing_mm=unit_mm)
    foreground_coordinates(standard, [1], limit=1, generator=np.random.default_rng(0))
