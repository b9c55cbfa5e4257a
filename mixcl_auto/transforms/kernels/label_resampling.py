"""Linear-argmax resampling of a label map in one pass."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Two labels whose weights differ by less are tied: rounding must not choose between them.
_TIE = 1e-9


@njit(cache=True, nogil=True)
def resample_labels_linear_argmax(
    labels: NDArray[Any],
    lower_x: NDArray[np.int64],
    fraction_x: NDArray[np.float64],
    lower_y: NDArray[np.int64],
    fraction_y: NDArray[np.float64],
    lower_z: NDArray[np.int64],
    fraction_z: NDArray[np.float64],
    out: NDArray[Any],
) -> None:
    """Give each output voxel the label with the largest trilinear weight among its 8 neighbours.

    Args:
        labels: (x, y, z), C-contiguous, of an integer type.
        lower_x: Index of the lower neighbour of each output position along x.
        fraction_x: Weight of the upper neighbour along x, in [0, 1].
        lower_y: Likewise along y.
        fraction_y: Likewise along y.
        lower_z: Likewise along z.
        fraction_z: Likewise along z.
        out: One voxel per combination of positions, of the labels' type. Ties go to the smallest label.
    """
    nx, ny, nz = labels.shape
    agree = np.empty(nz, np.bool_)
    seen = np.empty(8, labels.dtype)
    weight = np.empty(8, np.float64)
    for i in range(out.shape[0]):
        x0 = lower_x[i]
        x1 = min(x0 + 1, nx - 1)
        for j in range(out.shape[1]):
            y0 = lower_y[j]
            y1 = min(y0 + 1, ny - 1)
            l00, l01, l10, l11 = labels[x0, y0], labels[x0, y1], labels[x1, y0], labels[x1, y1]
            for z in range(nz):
                agree[z] = (l00[z] == l01[z]) & (l00[z] == l10[z]) & (l00[z] == l11[z])
            for k in range(out.shape[2]):
                z0 = lower_z[k]
                z1 = min(z0 + 1, nz - 1)
                if agree[z0] & agree[z1] & (l00[z0] == l00[z1]):
                    out[i, j, k] = l00[z0]
                    continue
                found = 0
                for corner in range(8):
                    x_up, y_up, z_up = corner & 1, (corner >> 1) & 1, corner >> 2
                    value = labels[x1 if x_up else x0, y1 if y_up else y0, z1 if z_up else z0]
                    w = (
                        (fraction_x[i] if x_up else 1.0 - fraction_x[i])
                        * (fraction_y[j] if y_up else 1.0 - fraction_y[j])
                        * (fraction_z[k] if z_up else 1.0 - fraction_z[k])
                    )
                    slot = 0
                    while slot < found and seen[slot] != value:
                        slot += 1
                    if slot == found:
                        seen[slot] = value
                        weight[slot] = 0.0
                        found += 1
                    weight[slot] += w
                best = 0
                for slot in range(1, found):
                    ahead = weight[slot] - weight[best]
                    if ahead > _TIE or (ahead >= -_TIE and seen[slot] < seen[best]):
                        best = slot
                out[i, j, k] = seen[best]
