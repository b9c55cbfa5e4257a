"""One picture of a segmented scan, which shows at a glance whether it worked."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.drawing.palette import INK, new_figure, organ_colours, save_figure
from mixcl_auto.drawing.planes import (
    PLANES,
    mark_sides,
    paint_organs,
    plane_extent_mm,
    plane_picture,
    show_scan,
    without_axis,
)
from mixcl_auto.inference.statistics import volume_ml
from mixcl_auto.io.images import Volume
from mixcl_auto.transforms.label_tally import LabelTally

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LISTED = 5
_WIDTH_INCHES, _LARGEST_HEIGHT_INCHES = 11.0, 12.0


def draw_preview(
    path: Path,
    volume: Volume,
    labels: NDArray[np.uint8],
    tally: LabelTally,
    organs: Mapping[str, int],
    *,
    name: str,
    window: tuple[float, float],
) -> None:
    """Draw the three planes that show most of the organs, with a legend that gives volumes.

    Args:
        path: of the PNG.
        volume: the scan, in RAS.
        labels: its label map, in RAS.
        tally: of both.
        organs: name to label value.
        name: the scan's, for the title.
        window: the scan's values that are shown as black and as white.
    """
    names = {label: organ for organ, label in sorted(organs.items(), key=lambda item: item[1])}
    found = [label for label in names if tally.voxels[label]]
    colours = organ_colours(found)
    figure, panels = _panels(volume)
    for plane, axis in PLANES.items():
        index = fullest_plane(tally.counts[axis][found])
        shape, spacing = without_axis(volume.array.shape, axis), without_axis(volume.spacing_mm, axis)
        extent = plane_extent_mm(shape, spacing)
        show_scan(panels[plane], plane_picture(volume.array, axis, index), extent, window)
        paint_organs(panels[plane], plane_picture(labels, axis, index), colours, extent)
        panels[plane].set_title(
            f"{plane}, slice {index + 1} of {volume.array.shape[axis]}", fontsize=9, color=INK
        )
        mark_sides(panels[plane], plane)
    figure.suptitle(name if found else f"{name}: no organ was found", fontsize=12, color=INK)
    _legend(figure, {names[label]: (colours.get(label), int(tally.voxels[label])) for label in names}, volume)
    save_figure(figure, path)


def fullest_plane(counts: NDArray[np.int64]) -> int:
    """The index that shows most of all organs, each counted in parts of its own largest section.

    Args:
        counts: voxels per index, (organs, n); the middle for no organs.
    """
    if not len(counts):
        return int(counts.shape[1] // 2)
    return int((counts / counts.max(axis=1, keepdims=True)).sum(axis=0).argmax())


def volume_text(millilitres: float) -> str:
    """Such as ``1130 ml``, ``35.6 ml`` or ``0.047 ml``."""
    return f"{millilitres:.0f} ml" if millilitres >= 100 else f"{millilitres:.3g} ml"


def _panels(volume: Volume) -> "tuple[Figure, dict[str, Axes]]":
    """A figure with a panel per plane, all on one scale."""
    width, depth, height = (n * s for n, s in zip(volume.array.shape, volume.spacing_mm, strict=True))
    widths = {"axial": width, "coronal": width, "sagittal": depth}
    inches_per_mm = _WIDTH_INCHES / sum(widths.values())
    tallest = max(depth, height) * inches_per_mm
    figure = new_figure(_WIDTH_INCHES, min(tallest, _LARGEST_HEIGHT_INCHES) + 1.2)
    axes: Any = figure.subplots(1, 3, width_ratios=list(widths.values()))
    return figure, dict(zip(widths, axes, strict=True))


def _legend(figure: "Figure", organs: Mapping[str, tuple[str | None, int]], volume: Volume) -> None:
    """Colours and volumes of what was found, and the names of what was not."""
    from matplotlib.patches import Patch

    handles = [
        Patch(color=colour, label=f"{organ} {volume_text(volume_ml(voxels, volume.spacing_mm))}")
        for organ, (colour, voxels) in organs.items()
        if colour is not None
    ]
    absent = [organ for organ, (colour, _) in organs.items() if colour is None]
    if absent:
        more = f" and {len(absent) - _LISTED} more" if len(absent) > _LISTED else ""
        text = f"not found: {', '.join(absent[:_LISTED])}{more}"
        handles.append(Patch(facecolor="none", edgecolor="none", label=text))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=min(len(handles), 5), frameon=False, fontsize=9
    )
