"""Which way round a label map lies on its scan, told by the tissue that it encloses.

An organ's outline is where tissue changes: with the right flip the label holds soft tissue, and there is
less of it just outside, where the organ borders on fat. With a wrong flip the label lies across the body's
tissues, and in- and outside are alike. The share of soft tissue inside alone would not do: a pancreas
mirrored into the liver has as much of it as in its place.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from mixcl_auto.converters.conversion import some
from mixcl_auto.errors import DataError

Array = npt.NDArray[Any]

FLIPS = ("", "i", "j", "k", "ij", "ik", "jk", "ijk")
SOFT_TISSUE_HU = (-20.0, 200.0)
"""Above fat and lung, below bone and dense contrast agent."""
SHELL_MM = 4.0
"""How far outside the label tissue is looked at: beyond a drawn outline's inaccuracy, still at the border."""
CLEAR_CONTRAST = 0.15
CLEAR_MARGIN = 0.10
"""Of a flip's contrast over the next best, for the scan to count as showing it."""
AGREEMENT = 0.9
"""Share of the scans which show a flip that must show the same."""


@dataclass(frozen=True)
class SettledFlips:
    """The flip that all label maps of a dataset share: one program wrote them all."""

    flips: str
    clear: tuple[str, ...]
    """Cases that show it by themselves."""
    unclear: tuple[str, ...]
    """Cases that don't, and that don't speak against it."""
    against: Mapping[str, str]
    """Cases that clearly show another one."""


def tissue_contrasts(image_hu: Array, labels: Array, spacing_mm: tuple[float, ...]) -> dict[str, float]:
    """Per flip of the label map: the share of soft tissue inside the label less that just outside it.

    Args:
        image_hu: the scan, (i, j, k).
        labels: of the same shape; what is not 0 counts, and something must.
        spacing_mm: of the scan.
    """
    # flipping the scan instead of the label map: mask and shell are made once, in a box about the label
    reach = [max(1, round(SHELL_MM / step)) for step in spacing_mm]
    box = _box(labels > 0, reach)
    inside = labels[box] > 0
    shell = ndimage.maximum_filter(inside, size=[2 * voxels + 1 for voxels in reach]) & ~inside
    low, high = SOFT_TISSUE_HU
    contrasts = {}
    for flips in FLIPS:
        tissue = image_hu[tuple(slice(None, None, -1 if axis in flips else 1) for axis in "ijk")][box]
        soft = (tissue >= low) & (tissue <= high)
        contrasts[flips] = _share(soft[inside]) - _share(soft[shell])
    return contrasts


def settle_flips(contrasts: Mapping[str, Mapping[str, float]]) -> SettledFlips:
    """The flip that the scans agree on; those that show none clearly follow the others.

    Args:
        contrasts: case to ``tissue_contrasts``.

    Raises:
        DataError: if no scan shows a flip clearly, or if they show different ones.
    """
    shown = {case: _clear_winner(measured) for case, measured in contrasts.items()}
    votes = Counter(flips for flips in shown.values() if flips is not None)
    if not votes:
        figures = some(map(_figures, contrasts.items()), 3)
        raise DataError(
            f"no flip of the label maps clearly fits their scans ({figures}); look at them in a viewer, and "
            "write a dataset.json with `label_flips` by hand (see raw_data_template/Example_Cases)"
        )
    ((flips, most),) = votes.most_common(1)
    if most < AGREEMENT * votes.total():
        counts = ", ".join(f"{count} {name_flips(one)}" for one, count in votes.most_common())
        raise DataError(
            f"the scans disagree on how the label maps are flipped ({counts}); they were perhaps converted "
            "in different ways: use the DICOM series and the label maps as downloaded"
        )
    clear = tuple(case for case, winner in shown.items() if winner == flips)
    against = {
        case: _best(measured) for case, measured in contrasts.items() if _speaks_against(measured, flips)
    }
    unclear = tuple(case for case in contrasts if case not in clear and case not in against)
    return SettledFlips(flips, clear, unclear, against)


def name_flips(flips: str) -> str:
    """A flip in words."""
    return f"flipped along {', '.join(flips)}" if flips else "not flipped"


def _clear_winner(contrasts: Mapping[str, float]) -> str | None:
    best, second = sorted(contrasts.values(), reverse=True)[:2]
    return _best(contrasts) if best >= CLEAR_CONTRAST and best - second >= CLEAR_MARGIN else None


def _speaks_against(contrasts: Mapping[str, float], flips: str) -> bool:
    best = max(contrasts.values())
    return best >= CLEAR_CONTRAST and best - contrasts[flips] >= CLEAR_MARGIN


def _best(contrasts: Mapping[str, float]) -> str:
    return max(contrasts, key=lambda flips: contrasts[flips])


def _figures(measured: tuple[str, Mapping[str, float]]) -> str:
    case, contrasts = measured
    first, second = sorted(contrasts, key=lambda flips: -contrasts[flips])[:2]
    return (
        f"{case}: tissue contrast {contrasts[first]:.2f} {name_flips(first)}, "
        f"{contrasts[second]:.2f} {name_flips(second)}"
    )


def _box(mask: Array, reach: list[int]) -> tuple[slice, ...]:
    """The smallest box about what is true, wider by the reach on every side."""
    box = []
    for axis, voxels in enumerate(reach):
        others = tuple(other for other in range(3) if other != axis)
        present = np.flatnonzero(mask.any(axis=others))
        box.append(slice(max(0, int(present[0]) - voxels), int(present[-1]) + voxels + 1))
    return tuple(box)


def _share(values: Array) -> float:
    return float(values.mean()) if values.size else 0.0
