"""A held-out case as a picture, as in Fig. 3 of the paper: the same slices of every map, and a zoom."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.drawing.palette import INK, legend_text, new_figure, organ_colours, save_figure
from mixcl_auto.drawing.planes import (
    PLANES,
    SIDES,
    mark_sides,
    paint_organs,
    plane_extent_mm,
    radiological,
    show_scan,
    without_axis,
)
from mixcl_auto.reporting.case_focus import Box, Focus
from mixcl_auto.reporting.shown_case import ShownCase

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL_INCHES = 2.55
_TALLEST = 1.35
"""Of a row, in panel widths."""
_ZOOM_COLOUR = "#ffffff"
_LEGEND_LINE_INCHES = 0.22
_LONGEST_NAME = 28


@dataclass(frozen=True)
class _Row:
    """One plane, cut to what is shown of it."""

    name: str
    axis: int
    index: int
    cut: Box
    """Along all three axes but the plane's own."""

    def of(self, volume: NDArray[Any]) -> NDArray[Any]:
        """The plane of a volume as a picture."""
        return radiological(volume.take(self.index, self.axis)[self.cut])


def draw_case(case: ShownCase, focus: Focus, window_hu: tuple[float, float], path: Path) -> Path:
    """Draw the maps of a case beside each other: axial, zoomed, coronal and sagittal.

    Args:
        case: to draw.
        focus: where to look.
        window_hu: what is black and what is white.
        path: of the PNG.
    """
    rows, spacing_mm = _rows(focus), case.image.spacing_mm
    extents = [
        plane_extent_mm([part.stop - part.start for part in row.cut], without_axis(spacing_mm, row.axis))
        for row in rows
    ]
    heights = [min(_TALLEST, extent[2] / extent[1]) for extent in extents]
    pictures = [[row.of(labels) for labels in case.maps.values()] for row in rows]
    shown = sorted({int(value) for line in pictures for labels in line for value in np.unique(labels)} - {0})
    colours = organ_colours(shown)
    names = {value: shortened(case.organs.get(value, f"label {value}")) for value in shown}
    in_a_line = legend_columns(names.values(), len(case.maps))
    legend_inches = _LEGEND_LINE_INCHES * -(-len(names) // in_a_line)
    figure = new_figure(_PANEL_INCHES * len(case.maps), _PANEL_INCHES * sum(heights) + 0.6 + legend_inches)
    axes = figure.subplots(len(rows), len(case.maps), squeeze=False, height_ratios=heights)
    for row, extent, line, maps in zip(rows, extents, axes, pictures, strict=True):
        scan = row.of(case.image.array)
        for panel, labels in zip(line, maps, strict=True):
            show_scan(panel, scan, extent, window_hu)
            paint_organs(panel, labels, colours, extent)
            if row.name in SIDES:
                mark_sides(panel, row.name)
        _name_row(line[0], row.name)
    for panel, name in zip(axes[0], case.maps, strict=True):
        panel.set_title(name, fontsize=10, color=INK)
        _mark_zoom(panel, focus, spacing_mm)
    _add_legend(figure, colours, names, in_a_line)
    return save_figure(figure, path)


def shortened(name: str) -> str:
    """A name cut to what a legend has room for."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def legend_columns(names: Collection[str], panels: int) -> int:
    """How many entries fit beside each other below so many panels."""
    longest = max(map(len, names), default=0)
    return max(1, min(len(names), int(panels * _PANEL_INCHES / (0.5 + 0.075 * longest))))


def _add_legend(figure: "Figure", colours: Mapping[int, str], names: Mapping[int, str], columns: int) -> None:
    from matplotlib.patches import Patch

    patches = [Patch(color=colours[value], label=legend_text(name)) for value, name in names.items()]
    if patches:
        figure.legend(handles=patches, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)


def _rows(focus: Focus) -> list[_Row]:
    x, y, z = focus.slices
    axial, coronal, sagittal = PLANES["axial"], PLANES["coronal"], PLANES["sagittal"]
    return [
        _Row("axial", axial, z, without_axis(focus.box, axial)),
        _Row("zoom", axial, z, focus.zoom),
        _Row("coronal", coronal, y, without_axis(focus.box, coronal)),
        _Row("sagittal", sagittal, x, without_axis(focus.box, sagittal)),
    ]


def _name_row(panel: "Axes", name: str) -> None:
    panel.annotate(
        name,
        (0, 0.5),
        xycoords="axes fraction",
        xytext=(-6, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        rotation=90,
        fontsize=9,
        color=INK,
    )


def _mark_zoom(panel: "Axes", focus: Focus, spacing_mm: tuple[float, ...]) -> None:
    """Where the zoom lies in the axial picture, whose axes run against the volume's."""
    from matplotlib.patches import Rectangle

    lengths = [(part.stop - part.start) * side for part, side in zip(focus.zoom, spacing_mm, strict=False)]
    ends = [
        (whole.stop - part.stop) * side
        for part, whole, side in zip(focus.zoom, focus.box, spacing_mm, strict=False)
    ]
    panel.add_patch(
        Rectangle(
            (ends[0], ends[1]), lengths[0], lengths[1], fill=False, edgecolor=_ZOOM_COLOUR, linewidth=1.1
        )
    )
