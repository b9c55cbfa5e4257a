"""Dice of label maps, and the rule for organs that one of the two does not have."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_SLAB_VOXELS = 2**22


def confusion_counts(
    reference: NDArray[np.integer], prediction: NDArray[np.integer], labels: Iterable[int]
) -> NDArray[np.int64]:
    """How often each pair of labels meets at a voxel.

    Args:
        reference: label map.
        prediction: label map on the same grid.
        labels: the organs' values; everything else counts as background.

    Returns:
        (n + 1, n + 1) counts; row i is the i-th organ of the order given, counted from 1, in the reference,
        column j the j-th in the prediction; row and column 0 are the background.

    Raises:
        ValueError: if the shapes differ, a value is negative, or a label is not positive.
    """
    wanted = list(labels)
    _check_maps(reference, prediction, wanted)
    classes = len(wanted) + 1
    rows, columns = _as_rows(reference), _as_rows(prediction)
    first = _positions(wanted, int(reference.max(initial=0)))
    second = _positions(wanted, int(prediction.max(initial=0)))
    step = max(1, _SLAB_VOXELS // max(1, rows.shape[1]))
    counts = np.zeros(classes * classes, dtype=np.int64)
    for start in range(0, rows.shape[0], step):
        part = slice(start, start + step)
        pairs = first[rows[part]] * classes + second[columns[part]]
        counts += np.bincount(pairs.ravel(), minlength=counts.size)
    return counts.reshape(classes, classes)


def dice_from_counts(both: int, reference: int, prediction: int) -> float | None:
    """Dice = 2 |R and P| / (|R| + |P|), or nothing where neither has the organ.

    A missed or an invented organ has Dice 0, so that neither ever improves a mean.

    Args:
        both: voxels of the organ in reference and prediction.
        reference: voxels of the organ in the reference.
        prediction: voxels of the organ in the prediction.
    """
    if reference + prediction == 0:
        return None
    return 2 * both / (reference + prediction)


def dice_per_label(
    reference: NDArray[np.integer], prediction: NDArray[np.integer], labels: Iterable[int]
) -> dict[int, float | None]:
    """Dice of every organ in one pass over the two maps; see `dice_from_counts` for absent organs.

    Raises:
        ValueError: as `confusion_counts`.
    """
    wanted = list(labels)
    counts = confusion_counts(reference, prediction, wanted)
    of_reference, of_prediction = counts.sum(axis=1), counts.sum(axis=0)
    return {
        label: dice_from_counts(int(counts[i, i]), int(of_reference[i]), int(of_prediction[i]))
        for i, label in enumerate(wanted, start=1)
    }


def _check_maps(reference: NDArray[np.integer], prediction: NDArray[np.integer], labels: list[int]) -> None:
    if reference.shape != prediction.shape:
        raise ValueError(f"reference and prediction differ in shape: {reference.shape}, {prediction.shape}")
    if reference.size and min(int(reference.min()), int(prediction.min())) < 0:
        raise ValueError("label values must be at least 0")
    if any(label <= 0 for label in labels) or len(set(labels)) < len(labels):
        raise ValueError(f"labels must be positive and distinct, got {labels}")


def _as_rows(volume: NDArray[np.integer]) -> NDArray[np.integer]:
    return volume.reshape(volume.shape[0], -1) if volume.ndim > 1 else volume.reshape(1, -1)


def _positions(labels: list[int], highest: int) -> NDArray[np.int64]:
    """Table from a label value to its place in ``labels``, counted from 1; 0 for any other value."""
    table = np.zeros(max([highest, *labels], default=0) + 1, dtype=np.int64)
    table[labels] = np.arange(1, len(labels) + 1)
    return table
