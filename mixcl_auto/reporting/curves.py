"""Diagrams: Dice over the share of labels, and what happened during training."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.reporting.arms import arm_figure
from mixcl_auto.reporting.grid import Grid
from mixcl_auto.reporting.palette import GRID_LINE, INK, arm_colours, arm_markers, new_figure, save_figure
from mixcl_auto.reporting.table_formats import percent_text
from mixcl_auto.training.curves import read_columns, running_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Series = tuple[NDArray[np.float64], NDArray[np.float64]]

_POINTS = 400
"""A drawn curve has at most so many points, so that the page stays small."""

PRETRAINING_PANELS: tuple[tuple[str, tuple[tuple[str, str], ...], bool], ...] = (
    ("Identity consistency (Eq. 4), log scale", (("identity", "identity"),), True),
    (
        "Label consistency (Eq. 6) and chance",
        (("label", "label loss"), ("label_chance", "chance: all embeddings equal")),
        False,
    ),
    ("Reconstruction error (Eq. 3), log scale", (("reconstruction", "reconstruction"),), True),
    (
        "Share of the encoder's gradient norm",
        (
            ("gradient_share_identity", "identity"),
            ("gradient_share_label", "label"),
            ("gradient_share_reconstruction", "reconstruction"),
        ),
        False,
    ),
    (
        "Segmentation of the pool, a head per dataset",
        (
            ("loss", "Dice + cross-entropy"),
            ("dice_loss", "1 - Dice"),
            ("cross_entropy", "cross-entropy"),
        ),
        False,
    ),
)
_TERM_COLOURS = ("#0072b2", "#d55e00", "#009e73")


def draw_label_efficiency(grid: Grid, target: str, path: Path) -> Path | None:
    """Dice over the share of labels, a line per initialisation and a point per run; nothing without runs."""
    fractions = grid.fractions(target)
    colours, markers = arm_colours(grid.inits), arm_markers(grid.inits)
    drawn = [init for init in grid.inits if any(grid.arm(target, init, f) for f in fractions)]
    if not drawn:
        return None
    figure = new_figure(7.2, 4.2)
    axis = figure.subplots()
    offsets = np.linspace(-0.12, 0.12, len(drawn)) if len(drawn) > 1 else np.zeros(1)
    for init, offset in zip(drawn, offsets, strict=True):
        arms = [(place, arm_figure(grid, target, init, f).found) for place, f in enumerate(fractions)]
        means = [(place + offset, found.mean) for place, found in arms if found is not None]
        colour, marker = colours[init], markers[init]
        axis.plot(*zip(*means, strict=True), color=colour, marker=marker, label=init, lw=2.2)
        for place, fraction in enumerate(fractions):
            points = [run.headline() for run in grid.arm(target, init, fraction).values()]
            values = [value for value in points if value is not None]
            places = [place + offset] * len(values)
            axis.scatter(places, values, s=16, alpha=0.45, linewidths=0, color=colour, marker=marker)
    axis.set_xticks(range(len(fractions)), [percent_text(fraction) for fraction in fractions])
    axis.set_xlim(-0.4, len(fractions) - 0.6)
    _dress(axis, target, "share of the training labels", "Dice, mean over organs and cases")
    axis.legend(frameon=False, title="initialisation; small: one run each")
    return save_figure(figure, path)


def draw_pretraining(log: Path, path: Path) -> Path | None:
    """The terms of one pre-training's loss over its steps; nothing if its log is not there."""
    columns = _columns(log)
    panels = [
        (title, [(name, label) for name, label in series if _known(columns, name)], is_log)
        for title, series, is_log in PRETRAINING_PANELS
    ]
    panels = [panel for panel in panels if panel[1]]
    if not panels:
        return None
    rows = (len(panels) + 1) // 2
    figure = new_figure(9.6, 2.7 * rows)
    axes = list(figure.subplots(rows, 2, squeeze=False).flat)
    for axis, (title, series, is_log) in zip(axes, panels, strict=False):
        for (name, label), colour in zip(series, _TERM_COLOURS, strict=False):
            dashed = "--" if name == "label_chance" else "-"
            _draw_series(axis, (columns["step"], columns[name]), label, colour, dashed)
        if is_log:
            axis.set_yscale("log")
            axis.yaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_minor_formatter("{x:g}")
            axis.tick_params(axis="y", which="minor", labelsize=7, colors=INK, length=0)
        _dress(axis, title, "step", "")
        axis.legend(frameon=False, fontsize=8)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    return save_figure(figure, path)


def draw_finetuning(grid: Grid, target: str, path: Path) -> Path | None:
    """The training loss of every run of a target, a panel per share of labels; nothing without logs."""
    fractions = [f for f in grid.fractions(target) if _logs(grid, target, f)]
    if not fractions:
        return None
    colours = arm_colours(grid.inits)
    figure = new_figure(max(4.6, 3.2 * len(fractions)), 3.2)
    axes = figure.subplots(1, len(fractions), squeeze=False, sharey=True)[0]
    for axis, fraction in zip(axes, fractions, strict=True):
        named: set[str] = set()
        for init, log in _logs(grid, target, fraction):
            columns = _columns(log)
            if _known(columns, "loss"):
                label = init if init not in named else ""
                named.add(init)
                _draw_series(axis, (columns["step"], columns["loss"]), label, colours[init], "-", raw=False)
        _dress(axis, f"{percent_text(fraction)} of the labels", "step", "Dice + cross-entropy")
        axis.legend(frameon=False, fontsize=8)
    return save_figure(figure, path)


def thinned(steps: NDArray[np.float64], values: NDArray[np.float64]) -> Series:
    """At most 400 points of a curve, evenly spaced, the last one among them."""
    if len(steps) <= _POINTS:
        return steps, values
    kept = np.unique(np.linspace(0, len(steps) - 1, _POINTS).round().astype(int))
    return steps[kept], values[kept]


def _draw_series(
    axis: "Axes", series: Series, label: str, colour: str, dashed: str, *, raw: bool = True
) -> None:
    known = np.isfinite(series[1])
    steps, values = series[0][known], series[1][known]
    if raw:
        axis.plot(*thinned(steps, values), color=colour, alpha=0.22, linewidth=0.8)
    smooth = thinned(steps, running_mean(values))
    axis.plot(*smooth, color=colour, linewidth=1.7, linestyle=dashed, label=label or "_nolegend_")


def _logs(grid: Grid, target: str, fraction: float) -> list[tuple[str, Path]]:
    arms: Iterable[tuple[str, Sequence[Path]]] = (
        (init, [run.folder.log for run in grid.arm(target, init, fraction).values()]) for init in grid.inits
    )
    return [(init, log) for init, logs in arms for log in logs if log.is_file()]


def _columns(log: Path) -> dict[str, NDArray[np.float64]]:
    return read_columns(log) if log.is_file() else {}


def _known(columns: dict[str, NDArray[np.float64]], name: str) -> bool:
    return name in columns and bool(np.isfinite(columns[name]).any())


def _dress(axis: "Axes", title: str, x_label: str, y_label: str) -> None:
    axis.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    axis.set_xlabel(x_label, color=INK)
    axis.set_ylabel(y_label, color=INK)
    axis.grid(axis="y", color=GRID_LINE, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(colors=INK, length=0)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(GRID_LINE)
