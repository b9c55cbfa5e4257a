"""Where each label of a scan lies, and what the scan's values are there, from one pass over both."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.errors import DataError
from mixcl_auto.transforms.kernels.label_tally import tally_plane


@dataclass(frozen=True)
class LabelTally:
    """What is known of each label value from 0 on; 0, the background, is not counted.

    Attributes:
        counts: Voxels per index along x, along y and along z, each (labels, n).
        mean: Of the scan's finite values, (labels,); NaN where there is none.
        standard_deviation: Of the same, around their own mean (divided by their number).
    """

    counts: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    mean: NDArray[np.float64]
    standard_deviation: NDArray[np.float64]

    @property
    def voxels(self) -> NDArray[np.int64]:
        """Voxels of each label, (labels,)."""
        total: NDArray[np.int64] = self.counts[0].sum(axis=1)
        return total

    def bounds(self, label: int) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]] | None:
        """The first and the last index of a label along x, y and z; None where it has no voxel."""
        if not self.voxels[label]:
            return None
        x, y, z = (np.flatnonzero(counts[label]) for counts in self.counts)
        return (int(x[0]), int(x[-1])), (int(y[0]), int(y[-1])), (int(z[0]), int(z[-1]))


def tally_labels(labels: NDArray[np.uint8], image: NDArray[Any], largest: int) -> LabelTally:
    """Count each label's voxels and measure the scan there.

    Args:
        labels: (x, y, z).
        image: Of the same shape.
        largest: The largest label there can be.

    Raises:
        DataError: If the shapes differ, or a label is larger.
    """
    if labels.shape != image.shape:
        raise DataError(f"labels and image must have one shape, got {labels.shape} and {image.shape}")
    if labels.size and labels.max() > largest:
        raise DataError(f"labels must be at most {largest}, got {labels.max()}")
    counts = [np.zeros((largest + 1, n), np.int64) for n in labels.shape]
    measured = np.zeros(largest + 1, np.int64)
    sums, squares = np.zeros(largest + 1), np.zeros(largest + 1)
    for x in range(labels.shape[0]):
        before = counts[2].sum(axis=1)
        plane, values = np.ascontiguousarray(labels[x]), np.ascontiguousarray(image[x])
        tally_plane(plane, values, counts[1], counts[2], measured, sums, squares)
        counts[0][:, x] = counts[2].sum(axis=1) - before
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums / measured
        variance = np.maximum(squares / measured - mean**2, 0.0)
    return LabelTally((counts[0], counts[1], counts[2]), mean, np.sqrt(variance))
