"""``progress.png``: the columns of a run's log over its steps."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.io.files import replacing

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Panel:
    """One diagram: a title and the log's columns in it."""

    title: str
    columns: tuple[str, ...]


def draw_curves(log: Path, image: Path, panels: Sequence[Panel]) -> None:
    """Draw a log as a picture, one panel below the other: thin the values, thick their running mean.

    Columns that are absent or empty are left out; so is a panel without any.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = read_columns(log)
    drawn = [(panel, [name for name in panel.columns if _has_values(columns, name)]) for panel in panels]
    drawn = [(panel, names) for panel, names in drawn if names]
    if not drawn:
        return
    figure = Figure(figsize=(9, 2.6 * len(drawn)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(drawn), 1, squeeze=False)[:, 0]
    for axis, (panel, names) in zip(axes, drawn, strict=True):
        for number, name in enumerate(names):
            known = np.isfinite(columns[name])
            steps, values = columns["step"][known], columns[name][known]
            axis.plot(steps, values, color=f"C{number}", alpha=0.3, linewidth=0.7)
            axis.plot(steps, running_mean(values), color=f"C{number}", label=name.replace("_", " "))
        axis.set_title(panel.title, fontsize=10)
        axis.legend(fontsize=8, loc="upper right")
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel("step")
    with replacing(image) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def read_columns(log: Path) -> dict[str, FloatArray]:
    """A log's columns by name; an empty cell is NaN."""
    with log.open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file))
    values = np.array([[float(cell) if cell else np.nan for cell in row] for row in rows])
    return dict(zip(header, values.reshape(len(rows), len(header)).T, strict=True))


def running_mean(values: FloatArray, share: float = 0.05) -> FloatArray:
    """The mean over the latest values, as many as ``share`` of all; fewer at the start."""
    width = max(1, round(len(values) * share))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - width)
    means: FloatArray = (sums[ends] - sums[starts]) / (ends - starts)
    return means


def _has_values(columns: dict[str, FloatArray], name: str) -> bool:
    return name in columns and bool(np.isfinite(columns[name]).any())
