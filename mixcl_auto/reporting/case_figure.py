"""A held-out case as a picture, as in Fig. 3 of the paper: the same slices of every map, and a zoom."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from mixcl_auto.drawing.palette import INK, new_figure, organ_colours, save_figure
from mixcl_auto.drawing.planes import (
    PLANES,
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

_PANEL_INCHES = 2.55
_TALLEST = 1.35
"""Of a row, in panel widths."""
_ZOOM_COLOUR = "#ffffff"


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
    from matplotlib.patches import Patch

    rows, spacing_mm = _rows(focus), case.image.spacing_mm
    extents = [
        plane_extent_mm([part.stop - part.start for part in row.cut], without_axis(spacing_mm, row.axis))
        for row in rows
    ]
    heights = [min(_TALLEST, extent[2] / extent[1]) for extent in extents]
    columns = len(case.maps)
    figure = new_figure(_PANEL_INCHES * columns, _PANEL_INCHES * sum(heights) + 0.9)
    axes = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    colours = organ_colours(case.present)
    for row, extent, line in zip(rows, extents, axes, strict=True):
        scan = row.of(case.image.array)
        for panel, labels in zip(line, case.maps.values(), strict=True):
            show_scan(panel, scan, extent, window_hu)
            paint_organs(panel, row.of(labels), colours, extent)
        _name_row(line[0], row.name)
    for panel, name in zip(axes[0], case.maps, strict=True):
        panel.set_title(name, fontsize=10, color=INK)
        _mark_zoom(panel, focus, spacing_mm, extents[0])
    patches = [
        Patch(color=colour, label=case.organs.get(value, f"label {value}"))
        for value, colour in colours.items()
    ]
    if patches:
        figure.legend(
            handles=patches, loc="outside lower center", ncols=min(len(patches), 4), frameon=False, fontsize=9
        )
    return save_figure(figure, path)


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


def _mark_zoom(panel: "Axes", focus: Focus, spacing_mm: tuple[float, ...], extent: tuple[float, ...]) -> None:
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
