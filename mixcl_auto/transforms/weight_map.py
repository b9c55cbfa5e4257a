"""Eq. 7: how likely a voxel is sampled, from its distance to the nearest boundary between labels."""

from collections.abc import Sequence
from typing import Any

import edt
import numpy as np
from numpy.typing import NDArray

from mixcl_auto.errors import DataError
from mixcl_auto.transforms.grids import check_spacing, check_volume
from mixcl_auto.transforms.kernels.boundary_distance import (
    FURTHEST,
    search_middle_axis,
    square_along_last_axis,
)
from mixcl_auto.transforms.kernels.elementwise import encode_steps

_FINE_STEP = 0.25
_FINE_END = 32.0
_COARSE_STEP = 1.0


def distance_to_boundary(
    labels: NDArray[Any], *, spacing_mm: Sequence[float] | None = None
) -> NDArray[np.float32]:
    """Measure the distance D of every voxel, background included, to the nearest voxel of another label.

    The volume's own border is no boundary. Two neighbours of different labels have D = 1.

    Args:
        labels: (x, y, z), of an integer type.
        spacing_mm: Measure in mm at this spacing; in voxels without it.

    Returns:
        D, C-contiguous; 0 everywhere for a volume of one label, which has no boundary.

    Raises:
        DataError: If the labels are not a volume of integers.
    """
    check_volume(labels, "labels")
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"labels must be integers, got {labels.dtype}; convert the label map first")
    smallest, largest = int(labels.min()), int(labels.max())
    if smallest == largest:
        return np.zeros(labels.shape, np.float32)
    anisotropy = (1.0, 1.0, 1.0) if spacing_mm is None else check_spacing(spacing_mm, "spacing_mm")
    # edt measures nothing on label 0, so every label moves up. The difference may overflow a signed type;
    # read as unsigned it is right again.
    offset = (np.ascontiguousarray(labels) - labels.min()).view(f"u{labels.dtype.itemsize}")
    shifted = offset.astype(np.uint8 if largest - smallest < 255 else np.uint64)
    shifted += 1
    distance: NDArray[np.float32] = edt.edt(shifted, anisotropy=anisotropy, black_border=False, parallel=1)
    return distance


def boundary_codes(labels: NDArray[Any], *, spacing_mm: Sequence[float] | None = None) -> NDArray[np.uint8]:
    """Measure D as ``distance_to_boundary`` does and write it as ``encode_distance`` does.

    Distances in voxels are searched in whole numbers, and no further than the codes reach: less than half
    the time, and a third of the memory.

    Args:
        labels: (x, y, z), of an integer type.
        spacing_mm: Measure in mm at this spacing; in voxels without it.

    Returns:
        Codes of D, C-contiguous.

    Raises:
        DataError: If the labels are not a volume of integers.
    """
    check_volume(labels, "labels")
    if spacing_mm is not None or labels.dtype.kind not in "iu" or labels.dtype.itemsize > 2:
        return encode_distance(distance_to_boundary(labels, spacing_mm=spacing_mm))
    volume = np.ascontiguousarray(labels)
    codes = np.zeros(volume.shape, np.uint8)
    if volume.min() == volume.max():
        return codes
    squared = np.empty(volume.shape, np.uint16)
    square_along_last_axis(volume.reshape(-1, volume.shape[2]), squared.reshape(-1, volume.shape[2]))
    search_middle_axis(volume, squared, np.empty(0, np.uint8), squared)
    code_of_square = encode_distance(np.sqrt(np.arange(FURTHEST**2 + 1, dtype=np.float32)))
    along_x = (1, 0, 2)
    search_middle_axis(
        volume.transpose(along_x), squared.transpose(along_x), code_of_square, codes.transpose(along_x)
    )
    return codes


def weight_map(
    distance: NDArray[np.floating[Any]], *, mu: float = 8.0, epsilon: float = 0.05
) -> NDArray[np.floating[Any]]:
    """Weigh voxels by Eq. 7: W = 1/2 sqrt(D) exp(-D / mu) + epsilon.

    W peaks at D = mu / 2: inside an organ, but near its boundary.

    Args:
        distance: D, in the unit of ``mu``, of any shape and floating type.
        mu: The decay's length.
        epsilon: Weight where there is no boundary, at D = 0 and D = infinity.

    Returns:
        W, of the shape and type of ``distance``.

    Raises:
        DataError: If ``mu`` is not positive or ``epsilon`` negative.
    """
    if not mu > 0.0 or not epsilon >= 0.0:
        raise DataError(f"mu must be positive and epsilon not negative, got mu {mu} and epsilon {epsilon}")
    # Beyond 200 mu the exponential is 0 in float32; the limit keeps sqrt(inf) * 0 from becoming NaN.
    limited = np.clip(distance, 0.0, 200.0 * mu)
    weight: NDArray[np.floating[Any]] = np.exp(limited / -mu)
    weight *= np.sqrt(limited)
    weight *= 0.5
    weight += epsilon
    return weight


def encode_distance(distance: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Write D as one byte per voxel.

    Code 0 is D = 0, no boundary. Codes 1 to 128 are steps of 0.25 up to 32, codes 129 to 255 steps of 1 up to
    159, which also stands for everything beyond. The error is at most 0.125 up to 32 and 0.5 up to 159.5.

    Args:
        distance: D >= 0, of any shape.

    Returns:
        Codes of the same shape.
    """
    values = np.ascontiguousarray(distance, np.float32)
    codes = np.empty(values.shape, np.uint8)
    encode_steps(values.reshape(-1), _FINE_STEP, _FINE_END, _COARSE_STEP, codes.reshape(-1))
    return codes


def distance_table() -> NDArray[np.float32]:
    """Return the distance that each of the 256 codes stands for."""
    codes = np.arange(256, dtype=np.float32)
    fine_codes = _FINE_END / _FINE_STEP
    table = np.where(codes <= fine_codes, codes * _FINE_STEP, _FINE_END + (codes - fine_codes) * _COARSE_STEP)
    return table.astype(np.float32)


def decode_distance(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn codes of ``encode_distance`` back into distances.

    Args:
        codes: Any shape.

    Returns:
        D, of the same shape.
    """
    return distance_table()[codes]
