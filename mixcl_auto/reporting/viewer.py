"""A held-out case as a volume that the page can scroll through without any other file.

The axial slices lie side by side in one picture, as radiologists see them: the scan as a JPEG of the plan's
window, each label map as a PNG whose grey values are the labels. ``templates/viewer.js`` cuts all three
planes out of it.
"""

import base64
import io
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.drawing.palette import organ_colours
from mixcl_auto.reporting.case_focus import Focus
from mixcl_auto.reporting.shown_case import ShownCase

_MOST_VOXELS = 2_500_000
"""Of a shown volume: 0.3 MB or so on the page; finer ones are thinned."""
_JPEG_BLOCK = 8
"""Tiles are padded to whole blocks, so that compression does not mix slices."""
_JPEG_QUALITY = 88

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class ViewedMap:
    """A label map as a mosaic of its axial slices."""

    name: str
    uri: str


@dataclass(frozen=True)
class ViewedOrgan:
    """What a grey value of a map means."""

    label: int
    name: str
    colour: str


@dataclass(frozen=True)
class ViewedCase:
    """What ``viewer.js`` reads; sizes in shown voxels, columns counted from the patient's right."""

    caption: str
    size: tuple[int, int, int]
    """Columns, rows (from anterior) and axial slices (from inferior)."""
    spacing_mm: tuple[float, float, float]
    tile: tuple[int, int]
    """Columns and rows of a slice in the mosaic, padding included."""
    tiles_across: int
    start: tuple[int, int, int]
    """The column, the row and the slice that are shown first."""
    scan: str
    maps: tuple[ViewedMap, ...]
    organs: tuple[ViewedOrgan, ...]

    def to_json_values(self) -> dict[str, Any]:
        """The fields as JSON takes them."""
        return asdict(self)


def viewed_case(case: ShownCase, focus: Focus, window_hu: tuple[float, float]) -> ViewedCase:
    """Pack a case's scan and maps, cut to the box that holds them all.

    Args:
        case: to pack.
        focus: where that box is, and which slices come first.
        window_hu: what is black and what is white.
    """
    steps = thinning(tuple(part.stop - part.start for part in focus.whole), case.image.spacing_mm)
    scan = block_means(case.image.array[focus.whole], steps)
    low, high = window_hu
    grey = (np.clip((scan - low) / (high - low), 0, 1) * 255).round().astype(np.uint8)
    nx, ny, nz = grey.shape
    x, y, z = (
        min(n - 1, (index - part.start) // step)
        for index, part, step, n in zip(focus.slices, focus.whole, steps, grey.shape, strict=True)
    )
    maps = tuple(
        ViewedMap(name, _data_uri(mosaic(middle_voxels(labels[focus.whole], steps)), "PNG"))
        for name, labels in case.maps.items()
    )
    colours = organ_colours(case.present)
    spacing = tuple(side * step for side, step in zip(case.image.spacing_mm, steps, strict=True))
    return ViewedCase(
        caption=case.caption,
        size=(nx, ny, nz),
        spacing_mm=(spacing[0], spacing[1], spacing[2]),
        tile=(_padded(nx), _padded(ny)),
        tiles_across=tiles_across(nz),
        start=(nx - 1 - x, ny - 1 - y, z),
        scan=_data_uri(mosaic(grey), "JPEG"),
        maps=maps,
        organs=tuple(
            ViewedOrgan(value, case.organs.get(value, f"label {value}"), colour)
            for value, colour in colours.items()
        ),
    )


def thinning(
    shape: tuple[int, ...], spacing_mm: tuple[float, ...], most_voxels: int = _MOST_VOXELS
) -> tuple[int, ...]:
    """How many voxels become one along each axis: the finest axis is halved until few enough are left."""
    steps = [1] * len(shape)
    while math.prod(max(1, n // step) for n, step in zip(shape, steps, strict=True)) > most_voxels:
        sides = [
            side * step if n // step > 1 else math.inf
            for n, side, step in zip(shape, spacing_mm, steps, strict=True)
        ]
        steps[sides.index(min(sides))] *= 2
    return tuple(steps)


def block_means(volume: NDArray[Any], steps: tuple[int, ...]) -> NDArray[np.float32]:
    """The mean over blocks of ``steps`` voxels; what is left over at the far ends is dropped."""
    counts = [max(1, n // step) for n, step in zip(volume.shape, steps, strict=True)]
    whole = volume[tuple(slice(0, n * step) for n, step in zip(counts, steps, strict=True))]
    split = [size for n, step in zip(counts, steps, strict=True) for size in (n, step)]
    means: NDArray[np.float32] = whole.astype(np.float32).reshape(split).mean(axis=(1, 3, 5))
    return means


def middle_voxels(labels: NDArray[Any], steps: tuple[int, ...]) -> Bytes:
    """The label in the middle of each block of :func:`block_means`."""
    counts = [max(1, n // step) for n, step in zip(labels.shape, steps, strict=True)]
    picked = labels[tuple(slice(step // 2, n * step, step) for n, step in zip(counts, steps, strict=True))]
    return picked.astype(np.uint8)


def mosaic(volume_ras: Bytes) -> Bytes:
    """The axial slices of a volume (x, y, z), each a radiological picture, row by row in one picture."""
    nx, ny, nz = volume_ras.shape
    width, height, across = _padded(nx), _padded(ny), tiles_across(nz)
    tiles = np.zeros((math.ceil(nz / across) * across, height, width), np.uint8)
    tiles[:nz, :ny, :nx] = volume_ras[::-1, ::-1].transpose(2, 1, 0)
    rows = tiles.reshape(-1, across, height, width).swapaxes(1, 2)
    return rows.reshape(-1, across * width)


def tiles_across(slices: int) -> int:
    """How many slices stand beside each other in a mosaic."""
    return max(1, math.ceil(math.sqrt(slices)))


def _padded(length: int) -> int:
    return math.ceil(length / _JPEG_BLOCK) * _JPEG_BLOCK


def _data_uri(picture: Bytes, kind: str) -> str:
    from PIL import Image

    content = io.BytesIO()
    options = {"quality": _JPEG_QUALITY} if kind == "JPEG" else {"optimize": True}
    Image.fromarray(picture).save(content, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
