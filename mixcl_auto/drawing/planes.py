"""The three planes of a RAS volume as radiologists see them, with organs filled and outlined.

Rows run from the top of the picture to its bottom, columns from its left to its right. In all three planes
the volume's index falls along both: anterior or superior is at the top, and the patient's right (in the
sagittal plane: anterior) is at the left.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Picture = NDArray[Any]
Extent = tuple[float, float, float, float]
"""Left, right, bottom and top in mm, as ``imshow`` takes them; the top is 0."""

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""A plane's name to the RAS axis that it is normal to."""

SIDES = {"axial": ("R", "L"), "coronal": ("R", "L"), "sagittal": ("A", "P")}
"""What lies at the left and the right edge of a plane's picture."""

_OPACITY = 0.42
_LINE_WIDTH = 1.3


def plane_picture(volume_ras: NDArray[Any], axis: int, index: int) -> Picture:
    """One plane of a volume, (rows, columns), as a view.

    Args:
        volume_ras: (x, y, z).
        axis: that the plane is normal to: 0 sagittal, 1 coronal, 2 axial.
        index: of the plane along it.
    """
    return radiological(volume_ras.take(index, axis))


def radiological(plane_ras: NDArray[Any]) -> Picture:
    """A plane that lacks one of the axes (x, y, z) as a picture (rows, columns)."""
    return plane_ras[::-1, ::-1].T


def plane_extent_mm(plane_shape: Sequence[int], plane_spacing_mm: Sequence[float]) -> Extent:
    """The extent of a plane's picture, from shape and spacing along the plane's two RAS axes in order."""
    width_mm, height_mm = (n * s for n, s in zip(plane_shape, plane_spacing_mm, strict=True))
    return (0.0, width_mm, height_mm, 0.0)


def without_axis(values: Sequence[Any], axis: int) -> tuple[Any, Any]:
    """What belongs to the two axes of a plane, such as its shape or its spacing."""
    first, second = (value for number, value in enumerate(values) if number != axis)
    return first, second


def show_scan(axes: "Axes", picture: Picture, extent_mm: Extent, window: tuple[float, float]) -> None:
    """Draw a plane in grey, black at the window's lower end and white at its upper one."""
    axes.imshow(
        picture, cmap="gray", vmin=window[0], vmax=window[1], extent=extent_mm, interpolation="nearest"
    )
    axes.set_axis_off()


def paint_organs(axes: "Axes", labels: Picture, colours: Mapping[int, str], extent_mm: Extent) -> None:
    """Fill each organ of a plane and draw its outline along the voxels' edges.

    Args:
        axes: that show the scan.
        labels: (rows, columns).
        colours: label value to colour; other values are not painted.
        extent_mm: of the scan's picture.
    """
    from matplotlib.colors import to_rgba

    paint = np.zeros((*labels.shape, 4))
    for value, colour in colours.items():
        mask = labels == value
        paint[mask] = to_rgba(colour, _OPACITY)
        _outline(axes, mask, colour, extent_mm)
    axes.imshow(paint, extent=extent_mm, interpolation="nearest")


def mark_sides(axes: "Axes", plane: str) -> None:
    """Write at both edges of a plane's picture what lies there."""
    from matplotlib.patheffects import withStroke

    for x, letter, side in zip((0.02, 0.98), SIDES[plane], ("left", "right"), strict=True):
        text = axes.text(x, 0.5, letter, transform=axes.transAxes, ha=side, va="center", fontsize=9, zorder=4)
        text.set(color="white", path_effects=[withStroke(linewidth=2.5, foreground="black")])


def _outline(axes: "Axes", mask: NDArray[np.bool_], colour: str, extent_mm: Extent) -> None:
    """Draw the edges between a mask's voxels and all others, those at the picture's border included."""
    from matplotlib.collections import LineCollection

    height, width = extent_mm[2] / mask.shape[0], extent_mm[1] / mask.shape[1]
    padded = np.pad(mask, 1)
    rows, columns = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    level = [
        ((c * width, r * height), ((c + 1) * width, r * height)) for r, c in zip(rows, columns, strict=True)
    ]
    rows, columns = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    upright = [
        ((c * width, r * height), (c * width, (r + 1) * height)) for r, c in zip(rows, columns, strict=True)
    ]
    if level or upright:
        axes.add_collection(
            LineCollection(level + upright, colors=[colour], linewidths=_LINE_WIDTH, zorder=3)
        )
