"""Differences with their intervals, and the organs one by one."""

from mixcl_auto.metrics.averaging import Interval
from mixcl_auto.reporting.arms import difference, organ_figures
from mixcl_auto.reporting.grid import SCRATCH, Figure, Grid
from mixcl_auto.reporting.roles import baseline_pairs, column_titles
from mixcl_auto.reporting.table_formats import Table, Value, figure_text, percent_text, signed_text
from mixcl_auto.reporting.tables import difference_data, table_cells

_FIGURES: tuple[tuple[Figure, str, int], ...] = (
    ("dice", "Dice", 4),
    ("surface_dice", "surface Dice", 4),
    ("hd95_mm", "HD95 (mm)", 2),
)


def difference_table(grid: Grid) -> Table:
    """Each arm minus scratch, and MixCL minus the supervised baseline, with 95 % intervals over runs.

    Rows are there where both arms have runs of one fold and seed.
    """
    rows: list[tuple[str, ...]] = []
    data: list[dict[str, Value]] = []
    pairs = [*((init, SCRATCH) for init in column_titles(grid)), *baseline_pairs(grid)]
    arms = [(*cell, *pair) for cell in table_cells(grid) for pair in pairs]
    for target, fraction, init, baseline in arms:
        for figure, title, digits in _FIGURES:
            compared = difference(grid, target, init, fraction, baseline=baseline, figure=figure)
            if not compared.pairs:
                continue
            mean, interval = signed_text(compared.mean, digits), _interval_text(compared.interval, digits)
            counts = f"{compared.pairs}/{compared.expected}"
            rows.append((target, percent_text(fraction), init, baseline, title, mean, interval, counts))
            values: dict[str, Value] = {
                "target": target,
                "fraction": fraction,
                "init": init,
                "baseline": baseline,
                "figure": figure,
            }
            data.append(values | difference_data("", compared))
    return Table(
        name="differences",
        title="Differences to training from scratch and to the supervised baseline",
        note="95 % Student-t interval of the paired difference, a training run (fold and seed) being the "
        "unit; it needs two pairs. Where it holds 0, no difference is shown. Folds share training cases, "
        "so the intervals are somewhat too narrow. A lower HD95 is better.",
        columns=("Target", "Pct.", "Init", "Minus", "Figure", "Difference", "95 % interval", "Pairs"),
        rows=tuple(rows),
        data=tuple(data),
        text_columns=5,
    )


def organ_table(grid: Grid) -> Table:
    """Every organ in every arm that has runs."""
    rows: list[tuple[str, ...]] = []
    data: list[dict[str, Value]] = []
    arms = [(*cell, init) for cell in table_cells(grid) for init in grid.inits]
    for target, fraction, init in arms:
        for organ in organ_figures(grid, target, init, fraction):
            figures = (
                figure_text(organ.dice),
                figure_text(organ.surface_dice),
                figure_text(organ.hd95_mm, 1),
            )
            counts = map(str, (organ.cases, organ.missed, organ.invented, organ.runs))
            rows.append((target, percent_text(fraction), organ.organ, init, *figures, *counts))
            data.append({"target": target, "fraction": fraction, "init": init, **vars(organ)})
    return Table(
        name="per_organ",
        title="Every organ in every arm",
        note="Means over cases, then runs. An organ in neither reference nor prediction is not counted; a "
        "missed or invented one has Dice 0, surface Dice 0 and, as HD95, the diagonal of the scan.",
        columns=(
            *("Target", "Pct.", "Organ", "Init", "Dice", "Surface Dice", "HD95 (mm)"),
            *("Cases", "Missed", "Invented", "Runs"),
        ),
        rows=tuple(rows),
        data=tuple(data),
        text_columns=4,
    )


def _interval_text(interval: Interval | None, digits: int) -> str:
    if interval is None:
        return "-"
    return f"{signed_text(interval.low, digits)} to {signed_text(interval.high, digits)}"
