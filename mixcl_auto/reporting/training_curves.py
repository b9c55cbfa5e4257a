"""What happened during training: the logs' columns over the steps."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.drawing.palette import arm_colours, legend_text, new_figure, save_figure
from mixcl_auto.reporting.axes import dress
from mixcl_auto.reporting.grid import Grid
from mixcl_auto.reporting.table_formats import percent_text
from mixcl_auto.training.curves import paired, read_columns, running_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Series = tuple[NDArray[np.float64], NDArray[np.float64]]

_POINTS = 400
"""A drawn curve has at most so many points, so that the page stays small."""
_MOST_WITH_STEPS = 3
"""A panel of more curves shows running means alone."""


@dataclass(frozen=True)
class LogPanel:
    """One diagram: the log's columns in it, each with its name in the legend.

    Attributes:
        title: above it.
        series: names in the legend, by column.
        is_log: whether the scale is logarithmic.
        is_share: whether the scale ends at 0 and 1, whatever part of it the values fill.
        is_paired: whether steps at which one column has no value are left out of all.
    """

    title: str
    series: Mapping[str, str]
    is_log: bool = False
    is_share: bool = False
    is_paired: bool = False


def _levels(quantity: str) -> dict[str, str]:
    return {f"{quantity}_level_{level}": f"level {level}" for level in range(5)}


PRETRAINING_PANELS: tuple[LogPanel, ...] = (
    LogPanel("The whole loss (Eq. 2), log scale", {"total": "total"}, is_log=True),
    LogPanel(
        "Identity consistency (Eq. 4), log scale",
        {"identity": "all levels", **_levels("identity")},
        is_log=True,
    ),
    LogPanel(
        "Label consistency (Eq. 6) and chance",
        {"label": "label loss", "label_chance": "chance: all embeddings equal"},
        is_paired=True,
    ),
    LogPanel("Reconstruction error (Eq. 3), log scale", {"reconstruction": "reconstruction"}, is_log=True),
    LogPanel(
        "Share of the encoder's gradient norm",
        {
            "gradient_share_identity": "identity",
            "gradient_share_label": "label",
            "gradient_share_reconstruction": "reconstruction",
        },
    ),
    LogPanel("Effective rank over channels, log scale", _levels("effective_rank"), is_log=True),
    LogPanel("Spread of the embeddings' channels", _levels("channel_spread"), is_share=True),
    LogPanel("Samples skipped by the label term", _levels("label_skipped"), is_share=True),
    LogPanel(
        "Segmentation of the pool, a head per dataset",
        {"loss": "Dice + cross-entropy", "dice_loss": "1 - Dice", "cross_entropy": "cross-entropy"},
    ),
    LogPanel("Norm of the gradient, log scale", {"gradient_norm": "gradient norm"}, is_log=True),
)
_TERM_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def draw_pretraining(log: Path, path: Path) -> Path | None:
    """The terms of one pre-training's loss over its steps; nothing if its log is not there."""
    columns = _columns(log)
    drawn = [(panel, found) for panel in PRETRAINING_PANELS if (found := _drawn(columns, panel))]
    if not drawn:
        return None
    rows = (len(drawn) + 1) // 2
    figure = new_figure(9.6, 2.7 * rows)
    axes = list(figure.subplots(rows, 2, squeeze=False).flat)
    for axis, (panel, found) in zip(axes, drawn, strict=False):
        for (name, label), colour in zip(panel.series.items(), _TERM_COLOURS, strict=False):
            if name in found:
                dashed = "--" if name == "label_chance" else "-"
                faint = len(panel.series) <= _MOST_WITH_STEPS
                _draw_series(axis, (columns["step"], found[name]), label, colour, dashed, raw=faint)
        if panel.is_log:
            _scale_by_logarithm(axis)
        if panel.is_share:
            axis.set_ylim(-0.03, 1.03)
        dress(axis, panel.title, "step", "")
        axis.legend(frameon=False, fontsize=8)
    for axis in axes[len(drawn) :]:
        axis.set_visible(False)
    return save_figure(figure, path)


def _drawn(columns: dict[str, NDArray[np.float64]], panel: LogPanel) -> dict[str, NDArray[np.float64]]:
    """The columns of a panel that have values."""
    found = {name: columns[name] for name in panel.series if name in columns}
    if panel.is_paired:
        found = paired(found)
    return {name: values for name, values in found.items() if np.isfinite(values).any()}


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
                label = legend_text(init) if init not in named else ""
                named.add(init)
                _draw_series(axis, (columns["step"], columns["loss"]), label, colours[init], "-", raw=False)
        dress(axis, f"{percent_text(fraction)} of the labels", "step", "Dice + cross-entropy")
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


def _scale_by_logarithm(axis: "Axes") -> None:
    """A logarithmic axis with a label at 1, 2 and 5 of each power of ten."""
    from matplotlib.ticker import LogLocator

    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter("")


def _logs(grid: Grid, target: str, fraction: float) -> list[tuple[str, Path]]:
    arms: Iterable[tuple[str, Sequence[Path]]] = (
        (init, [run.folder.log for run in grid.arm(target, init, fraction).values()]) for init in grid.inits
    )
    return [(init, log) for init, logs in arms for log in logs if log.is_file()]


def _columns(log: Path) -> dict[str, NDArray[np.float64]]:
    return read_columns(log) if log.is_file() else {}


def _known(columns: dict[str, NDArray[np.float64]], name: str) -> bool:
    return name in columns and bool(np.isfinite(columns[name]).any())
