"""Where patches lie in a scan, and reading them from the cache.

A patch of ``size`` voxels whose first voxel is ``lower`` has the centre ``lower + size // 2``.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.augmentation.cropping import crop_padded

Index = tuple[int, int, int]
Placement = Literal["centre", "anywhere"]


class RegionReader(Protocol):
    """Reads one array of a cached case between two corners that lie inside the scan."""

    def __call__(self, lower: Sequence[int], upper: Sequence[int]) -> NDArray[Any]:
        """Give the voxels from ``lower`` to before ``upper``."""


def random_lower(shape: Index, size: Index, generator: np.random.Generator) -> Index:
    """Draw a patch's first voxel, all positions being equally likely.

    A patch lies inside the scan along each axis that is long enough; along a shorter one the scan lies
    inside the patch.

    Args:
        shape: voxels of the scan.
        size: voxels of the patch.
        generator: of the sample.
    """
    ranges = [_lower_range(length, side) for length, side in zip(shape, size, strict=True)]
    x, y, z = (int(generator.integers(first, last + 1)) for first, last in ranges)
    return x, y, z


def lower_around(voxel: Sequence[int], shape: Index, size: Index) -> Index:
    """The first voxel of the patch centred on ``voxel``, moved as far as keeps it inside the scan.

    The patch always contains the voxel. At the scan's border this gives up the centre rather than reading
    padding.
    """
    bounds = [_lower_range(length, side) for length, side in zip(shape, size, strict=True)]
    x, y, z = (
        min(max(int(v) - side // 2, first), last)
        for v, side, (first, last) in zip(voxel, size, bounds, strict=True)
    )
    return x, y, z


def lower_holding(
    voxel: Sequence[int], shape: Index, size: Index, placement: Placement, generator: np.random.Generator
) -> Index:
    """The first voxel of a patch that is drawn for the sake of ``voxel``.

    A network with a position embedding can learn from patches centred on organs that organs are in the
    centre, which helps it in no sliding window.

    Args:
        voxel: of the scan.
        shape: voxels of the scan.
        size: voxels of the patch.
        placement: ``centre``, see ``lower_around``; or ``anywhere``: the voxel is at any place of the patch
            with equal probability, before the patch is moved into the scan.
        generator: of the sample; ``centre`` draws nothing.
    """
    if placement == "centre":
        return lower_around(voxel, shape, size)
    places = generator.integers(size)
    centre = [int(v) - int(at) + side // 2 for v, at, side in zip(voxel, places, size, strict=True)]
    return lower_around(centre, shape, size)


def draw_foreground_voxel(
    foreground: Mapping[int, NDArray[np.int16]],
    classes: Sequence[int],
    generator: np.random.Generator,
) -> Index | None:
    """Draw a class, each of those present being equally likely, and one of its voxels.

    Args:
        foreground: label value to voxels (n, 3) of a case.
        classes: label values to choose from.
        generator: of the sample.

    Returns:
        The voxel; absent if the case has none of the classes.
    """
    present = [label for label in sorted(classes) if len(foreground.get(label, ()))]
    if not present:
        return None
    voxels = foreground[present[generator.integers(len(present))]]
    x, y, z = voxels[generator.integers(len(voxels))].tolist()
    return x, y, z


def centre_of(lower: Index, size: Index) -> Index:
    """The centre voxel of a patch."""
    x, y, z = (first + side // 2 for first, side in zip(lower, size, strict=True))
    return x, y, z


def clip_region(lower: Sequence[int], upper: Sequence[int], shape: Index) -> tuple[Index, Index]:
    """The part of a region that lies inside the scan; it is empty along an axis where nothing does."""
    limits = list(zip(lower, upper, shape, strict=True))
    x, y, z = (min(max(first, 0), length) for first, _, length in limits)
    u, v, w = (min(max(last, 0), length) for _, last, length in limits)
    return (x, y, z), (u, v, w)


def read_padded(
    read: RegionReader, lower: Index, size: Index, shape: Index, *, padding: float
) -> NDArray[Any]:
    """Read a patch; voxels outside the scan get the value ``padding``.

    Args:
        read: one array of the case.
        lower: the patch's first voxel, which may be negative.
        size: of the patch.
        shape: of the scan.
        padding: value outside the scan.

    Returns:
        (x, y, z) of the cache's type.
    """
    upper = [first + side for first, side in zip(lower, size, strict=True)]
    inner_lower, inner_upper = clip_region(lower, upper, shape)
    inner = read(inner_lower, inner_upper)
    if inner.shape == size:
        return inner
    start = [first - begin for first, begin in zip(lower, inner_lower, strict=True)]
    return crop_padded(inner, start, size, padding)


def _lower_range(length: int, side: int) -> tuple[int, int]:
    """First and last position of a patch along one axis."""
    return min(0, length - side), max(0, length - side)
