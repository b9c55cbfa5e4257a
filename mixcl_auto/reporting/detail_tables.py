"""What stands behind Table 1: every arm by every figure, differences with intervals, and the organs."""

from mixcl_auto.metrics.averaging import Spread
from mixcl_auto.reporting.arms import arm_figure, difference, organ_figures
from mixcl_auto.reporting.grid import Figure, Grid
from mixcl_auto.reporting.roles import comparisons
from mixcl_auto.reporting.table_formats import (
    Table,
    Value,
    interval_text,
    percent_text,
    signed_text,
    spread_text,
)
from mixcl_auto.reporting.tables import difference_data, table_cells

_FIGURES: tuple[tuple[Figure, str, int], ...] = (
    ("dice", "Dice", 4),
    ("surface_dice", "surface Dice", 4),
    ("hd95_mm", "HD95 (mm)", 2),
)
_EMPTY_RULE = (
    "An organ in neither reference nor prediction is not counted; a missed or invented one has Dice 0, "
    "surface Dice 0 and, as HD95, the diagonal of the scan."
)


def arm_table(grid: Grid) -> Table:
    """Every arm that has runs by all its figures: mean and standard deviation over runs."""
    figures = (*_FIGURES[:1], ("dice_resampled", "Dice, plan's grid", 4), *_FIGURES[1:])
    rows: list[tuple[str, ...]] = []
    data: list[dict[str, Value]] = []
    for target, fraction, init in _arms(grid):
        arms = {figure: arm_figure(grid, target, init, fraction, figure) for figure, _, _ in figures}
        runs, expected = len(grid.arm(target, init, fraction)), arms["dice"].expected
        if not runs:
            continue
        texts = [spread_text(arms[figure].found, 1 if figure == "hd95_mm" else 4) for figure, _, _ in figures]
        rows.append((target, percent_text(fraction), init, *texts, f"{runs}/{expected}"))
        values: dict[str, Value] = {"target": target, "fraction": fraction, "init": init}
        for figure, arm in arms.items():
            values |= _spread_data(figure, arm.found)
        data.append(values | {"runs": runs, "runs_expected": expected})
    return Table(
        name="arms",
        title="Every arm by every figure",
        note="Mean ± standard deviation over runs (folds x seeds), a run's figure being the mean over "
        f"organs, then cases; one run has no deviation. A lower HD95 is better. {_EMPTY_RULE}",
        columns=("Target", "Pct.", "Init", *(_capital(title) for _, title, _ in figures), "Runs"),
        rows=tuple(rows),
        data=tuple(data),
        text_columns=3,
    )


def difference_table(grid: Grid) -> Table:
    """Each arm minus scratch, and MixCL minus the supervised baseline, with 95 % intervals.

    Rows are there where both arms have runs of one fold and seed.
    """
    rows: list[tuple[str, ...]] = []
    data: list[dict[str, Value]] = []
    for target, fraction in table_cells(grid):
        for pair in comparisons(grid):
            for figure, title, digits in _FIGURES:
                compared = difference(
                    grid, target, pair.init, fraction, baseline=pair.baseline, figure=figure
                )
                if not compared.pairs:
                    continue
                texts = (signed_text(compared.mean, digits), interval_text(compared.interval, digits))
                counts = f"{compared.pairs}/{compared.expected}"
                rows.append((target, percent_text(fraction), pair.init, pair.baseline, title, *texts, counts))
                values: dict[str, Value] = {"target": target, "fraction": fraction, "figure": figure}
                values |= {"init": pair.init, "baseline": pair.baseline}
                data.append(values | difference_data("", compared))
    return Table(
        name="differences",
        title="Differences to training from scratch and to the supervised baseline",
        note="Runs of one fold and seed are paired; the 95 % Student-t interval is over folds, the seeds of "
        "a fold averaged first, since they share its cases. Where it holds 0, no difference is shown; that "
        "of a single fold is over its seeds, and shows nothing. It does not hold what another pre-training "
        "would do, nor that folds share training cases, the more the larger the share of labels: at 100 % "
        "it is rather too narrow. Where neither arm found any organ there is none. A lower HD95 is better.",
        columns=("Target", "Pct.", "Init", "Minus", "Figure", "Difference", "95 % interval", "Pairs"),
        rows=tuple(rows),
        data=tuple(data),
        text_columns=5,
    )


def organ_table(grid: Grid) -> Table:
    """Every organ in every arm that has runs: mean and standard deviation over runs."""
    rows: list[tuple[str, ...]] = []
    data: list[dict[str, Value]] = []
    for target, fraction, init in _arms(grid):
        for organ in organ_figures(grid, target, init, fraction):
            spreads = {"dice": organ.dice, "surface_dice": organ.surface_dice, "hd95_mm": organ.hd95_mm}
            texts = [spread_text(found, 1 if name == "hd95_mm" else 3) for name, found in spreads.items()]
            counts = {name: getattr(organ, name) for name in ("cases", "missed", "invented", "runs")}
            names = (target, percent_text(fraction), organ.organ, init)
            rows.append((*names, *texts, *map(str, counts.values())))
            values: dict[str, Value] = {"target": target, "fraction": fraction, "init": init}
            values |= {"organ": organ.organ, **counts}
            for name, found in spreads.items():
                values |= _spread_data(name, found)
            data.append(values)
    return Table(
        name="per_organ",
        title="Every organ in every arm",
        note="Mean ± standard deviation over runs (folds x seeds), a run's figure being the mean over the "
        f"cases that count. {_EMPTY_RULE} Cases, missed and invented ones are summed over runs.",
        columns=(
            *("Target", "Pct.", "Organ", "Init", "Dice", "Surface Dice", "HD95 (mm)"),
            *("Cases", "Missed", "Invented", "Runs"),
        ),
        rows=tuple(rows),
        data=tuple(data),
        text_columns=4,
    )


def _spread_data(name: str, found: Spread | None) -> dict[str, Value]:
    """Mean and standard deviation as CSV columns that begin with ``name``."""
    mean, deviation = (found.mean, found.deviation) if found else (None, None)
    return {name: mean, f"{name}_standard_deviation": deviation}


def _arms(grid: Grid) -> list[tuple[str, float, str]]:
    return [(*cell, init) for cell in table_cells(grid) for init in grid.inits]


def _capital(title: str) -> str:
    return title[:1].upper() + title[1:]
