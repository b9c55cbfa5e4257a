"""Held-out cases as pictures: reference, scratch and pre-trained on the same axial slice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.errors import DataError, MixCLError
from mixcl_auto.io.case_files import image_volume, label_volume
from mixcl_auto.io.images import read_labels
from mixcl_auto.io.raw_dataset import find_dataset
from mixcl_auto.io.workspace import ReportFolder, Workspace
from mixcl_auto.metrics.averaging import mean_per_case
from mixcl_auto.records.case import RawCase
from mixcl_auto.reporting.case_choice import CaseChoice, choose_cases
from mixcl_auto.reporting.grid import Grid, ScoredRun
from mixcl_auto.reporting.palette import INK, new_figure, organ_colours, save_figure
from mixcl_auto.reporting.table_formats import figure_text, percent_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Slice = NDArray[Any]

_MARGIN_MM = 25.0
_LEAST_SIDE_MM = 110.0
_OPACITY = 0.42


@dataclass(frozen=True)
class Picture:
    """A drawn case and what to say of it."""

    path: Path
    caption: str


def draw_overlays(
    workspace: Workspace, grid: Grid, target: str, folder: ReportFolder
) -> tuple[list[Picture], str]:
    """Draw the chosen cases of a target.

    Args:
        workspace: with the raw data.
        grid: of the plan.
        target: dataset.
        folder: of the report.

    Returns:
        The pictures, and a sentence that says why there are none or fewer.
    """
    choices = choose_cases(grid, target)
    if not choices:
        return [], "No run of this target kept its predictions here."
    try:
        raw = {case.id: case for case in find_dataset(workspace.raw_data, target).cases}
    except MixCLError:
        return [], "The raw data are not here, so there is nothing to draw the predictions on."
    pictures: list[Picture] = []
    problems: list[str] = []
    for number, choice in enumerate(choices):
        path = folder.figure(f"case_{target}_{number}.png")
        try:
            pictures.append(_draw_choice(grid, choice, raw, path))
        except MixCLError as problem:
            problems.append(f"Case {choice.case} could not be drawn: {problem}.")
    return pictures, " ".join(problems)


def fullest_slice(labels: Slice) -> int:
    """The axial index with most labelled voxels; the middle where nothing is labelled."""
    areas = np.count_nonzero(labels, axis=(0, 1))
    return int(areas.argmax()) if areas.any() else labels.shape[2] // 2


def radiological(plane: Slice) -> Slice:
    """An axial RAS plane (x, y) as an image: anterior at the top, the patient's right at the left."""
    return plane[::-1, ::-1].T


def crop_box(
    mask: NDArray[np.bool_], spacing_mm: Sequence[float], margin_mm: float = _MARGIN_MM
) -> tuple[slice, slice]:
    """The box of a plane's mask with a margin and at least 110 mm wide; the whole plane for an empty mask."""
    ranges = []
    for axis, (length, side_mm) in enumerate(zip(mask.shape, spacing_mm, strict=True)):
        found = np.flatnonzero(mask.any(axis=1 - axis))
        if not found.size:
            return slice(0, mask.shape[0]), slice(0, mask.shape[1])
        centre = (found[0] + found[-1] + 1) / 2
        half = max((found[-1] + 1 - found[0]) / 2 + margin_mm / side_mm, _LEAST_SIDE_MM / 2 / side_mm)
        ranges.append(slice(max(0, int(centre - half)), min(length, int(np.ceil(centre + half)))))
    return ranges[0], ranges[1]


def _draw_choice(grid: Grid, choice: CaseChoice, raw: Mapping[str, RawCase], path: Path) -> Picture:
    case = raw.get(choice.case)
    if case is None:
        raise DataError("it is no longer in the raw data")
    run = choice.runs[0].run
    labels = {value: name for name, value in run.plan.dataset(run.dataset).labels.items()}
    image = image_volume(case)
    maps = {"reference": label_volume(case).array} if case.label else {}
    for scored in choice.runs:
        maps[scored.key.init] = read_labels(scored.folder.prediction(choice.case)).array
    if any(labels_ras.shape != image.array.shape for labels_ras in maps.values()):
        raise DataError("its label maps are not on the scan's grid")
    z = fullest_slice(next(iter(maps.values())))
    planes = {name: labels_ras[:, :, z] for name, labels_ras in maps.items()}
    mask = np.any([plane > 0 for plane in planes.values()], axis=0)
    box = crop_box(mask, image.spacing_mm[:2])
    background = image.array[:, :, z][box]
    titles = {scored.key.init: _title(scored, choice.case) for scored in choice.runs}
    _draw_planes(
        background,
        {titles.get(name, name): plane[box] for name, plane in planes.items()},
        labels,
        spacing_mm=(image.spacing_mm[0], image.spacing_mm[1]),
        window_hu=grid.plan.preprocess.window_hu,
        path=path,
    )
    where = f"{percent_text(run.fraction)} of the labels, fold {run.fold}, seed {run.seed}"
    return Picture(path, f"{run.dataset}, case {choice.case} ({choice.reason}): {where}, axial slice {z}.")


def _title(scored: ScoredRun, case: str) -> str:
    dice = mean_per_case((s.case, s.organ, s.dice) for s in scored.scores if s.case == case)[case]
    return f"{scored.key.init}, Dice {figure_text(dice, 3)}"


def _draw_planes(
    background: Slice,
    planes: Mapping[str, Slice],
    labels: Mapping[int, str],
    *,
    spacing_mm: tuple[float, float],
    window_hu: tuple[float, float],
    path: Path,
) -> None:
    from matplotlib.patches import Patch

    width_mm, height_mm = (n * s for n, s in zip(background.shape, spacing_mm, strict=True))
    panel = 3.3
    figure = new_figure(panel * len(planes), panel * min(1.6, height_mm / width_mm) + 0.9)
    axes = figure.subplots(1, len(planes), squeeze=False)[0]
    shown = sorted({int(value) for plane in planes.values() for value in np.unique(plane)} - {0})
    colours = organ_colours(shown)
    for axis, (title, plane) in zip(axes, planes.items(), strict=True):
        extent = (0.0, width_mm, height_mm, 0.0)
        axis.imshow(
            radiological(background), cmap="gray", vmin=window_hu[0], vmax=window_hu[1], extent=extent
        )
        _paint(axis, radiological(plane), colours, extent)
        axis.set_title(title, fontsize=10, color=INK)
        axis.set_axis_off()
    patches = [Patch(color=colours[value], label=labels.get(value, f"label {value}")) for value in shown]
    if patches:
        figure.legend(
            handles=patches, loc="outside lower center", ncols=min(len(patches), 5), frameon=False, fontsize=9
        )
    save_figure(figure, path)


def _paint(
    axis: "Axes", plane: Slice, colours: Mapping[int, str], extent: tuple[float, float, float, float]
) -> None:
    """Fill each organ and draw its outline along the voxels' edges."""
    from matplotlib.colors import to_rgba

    paint = np.zeros((*plane.shape, 4))
    for value, colour in colours.items():
        paint[plane == value] = to_rgba(colour, _OPACITY)
    axis.imshow(paint, extent=extent, interpolation="nearest")
    width, height = extent[1] / plane.shape[1], extent[2] / plane.shape[0]
    fine = 6
    for value, colour in colours.items():
        mask = np.kron(plane == value, np.ones((fine, fine)))
        if mask.any():
            x = (np.arange(mask.shape[1]) + 0.5) * width / fine
            y = (np.arange(mask.shape[0]) + 0.5) * height / fine
            axis.contour(x, y, mask, levels=[0.5], colors=[colour], linewidths=1.3)
