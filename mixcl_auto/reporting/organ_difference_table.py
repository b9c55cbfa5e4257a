"""Dice of every organ compared: with an interval over runs, and beside it what cases alone would say."""

from mixcl_auto.metrics.averaging import Interval
from mixcl_auto.reporting.grid import Grid
from mixcl_auto.reporting.organ_differences import OrganDifference, organ_differences
from mixcl_auto.reporting.roles import comparisons
from mixcl_auto.reporting.table_formats import (
    Table,
    Value,
    interval_text,
    p_text,
    percent_text,
    signed_text,
)
from mixcl_auto.reporting.tables import table_cells


def organ_difference_table(grid: Grid) -> Table:
    """Every organ of every comparison that has a pair of runs, Holm's correction over the organs of each."""
    rows: list[tuple[str, ...]] = []
    data: list[dict[str, Value]] = []
    for target, fraction in table_cells(grid):
        for pair in comparisons(grid):
            for organ in organ_differences(grid, target, pair.init, fraction, pair.baseline):
                rows.append((target, percent_text(fraction), pair.text, *_organ_cells(organ)))
                values: dict[str, Value] = {"target": target, "fraction": fraction}
                values |= {"init": pair.init, "baseline": pair.baseline}
                data.append(values | _organ_data(organ))
    return Table(
        name="organ_differences",
        title="Dice of every organ: differences",
        note="Over runs: mean paired difference and its 95 % Student-t interval, a training run (fold and "
        "seed) being the unit; judge by this one. Cases alone: 95 % bootstrap interval (six patients or "
        "more) and Wilcoxon's signed-rank p, patients being the unit; p (Holm) is corrected over the organs "
        "of one comparison. Cases alone ignore training noise: they ask what these same runs would do on "
        "other cases, not what other runs would do, and call mere redraws of the initial weights "
        "significant.",
        columns=(
            *("Target", "Pct.", "Init - baseline", "Organ", "Over runs", "95 % interval", "Runs"),
            *("Cases alone: 95 % interval", "p", "p (Holm)", "Cases (patients)"),
        ),
        rows=tuple(rows),
        data=tuple(data),
        text_columns=4,
        block_columns=3,
    )


def _organ_cells(organ: OrganDifference) -> tuple[str, ...]:
    return (
        organ.organ,
        signed_text(organ.mean, 3),
        interval_text(organ.interval, 3),
        f"{organ.pairs}/{organ.expected}",
        interval_text(organ.case_interval, 3),
        p_text(organ.p_value),
        p_text(organ.p_holm),
        f"{organ.cases} ({organ.patients})",
    )


def _organ_data(organ: OrganDifference) -> dict[str, Value]:
    return {
        "organ": organ.organ,
        **_interval_data("over_runs", organ.mean, organ.interval),
        "pairs": organ.pairs,
        "pairs_expected": organ.expected,
        **_interval_data("cases_alone", organ.case_mean, organ.case_interval),
        "cases_alone_p": organ.p_value,
        "cases_alone_p_holm": organ.p_holm,
        "cases": organ.cases,
        "patients": organ.patients,
        "cases_unpaired": organ.unpaired,
    }


def _interval_data(name: str, mean: float | None, interval: Interval | None) -> dict[str, Value]:
    low, high = (interval.low, interval.high) if interval else (None, None)
    return {f"{name}_difference": mean, f"{name}_low": low, f"{name}_high": high}
