"""Every organ compared: with an interval over folds, and beside it what cases alone would say."""

from mixcl_auto.metrics.averaging import Interval
from mixcl_auto.reporting.grid import Figure, Grid
from mixcl_auto.reporting.organ_differences import OrganDifference, organ_differences
from mixcl_auto.reporting.roles import comparisons
from mixcl_auto.reporting.table_formats import (
    NONE,
    Table,
    Value,
    interval_text,
    p_text,
    percent_text,
    signed_text,
)
from mixcl_auto.reporting.tables import table_cells

_FIGURES: tuple[Figure, ...] = ("dice", "surface_dice", "hd95_mm")


def organ_difference_table(grid: Grid) -> Table:
    """Every organ of every comparison that has a pair of runs, Holm's correction over the organs of each.

    The rows to read hold Dice; the values HD95 and surface Dice too.
    """
    rows: list[tuple[str, ...]] = []
    data: list[dict[str, Value]] = []
    for target, fraction in table_cells(grid):
        for pair in comparisons(grid):
            for figure in _FIGURES:
                found = organ_differences(grid, target, pair.init, fraction, pair.baseline, figure=figure)
                if figure == "dice":
                    names = (target, percent_text(fraction), pair.text)
                    rows += [(*names, *_organ_cells(organ)) for organ in found]
                values: dict[str, Value] = {"target": target, "fraction": fraction}
                values |= {"init": pair.init, "baseline": pair.baseline, "figure": figure}
                data += [values | _organ_data(organ) for organ in found]
    return Table(
        name="organ_differences",
        title="Dice of every organ: differences",
        note="Over folds: mean paired difference and its 95 % Student-t interval, as in the table of "
        "differences; of N without any true difference about N/20 leave out 0. Cases alone: 95 % bootstrap "
        "interval (six patients or more) and Wilcoxon's signed-rank p, patients being the unit; p (Holm) is "
        "corrected over the organs of one comparison. Cases alone ignore training noise: they ask what these "
        "same runs would do on other cases, not what other runs would do, and call mere redraws of the "
        "initial weights significant. Unpaired cases lack the organ, and one arm alone invents it: that "
        "counts in the run's mean and not in the cases. Where no reference of a fold has the organ it counts "
        "in the headline alone. An organ that neither arm found has neither interval nor p. The CSV file has "
        "HD95 and surface Dice too.",
        columns=(
            *("Target", "Pct.", "Init - baseline", "Organ", "Over folds", "95 % interval", "Runs"),
            *("Cases alone: mean (95 % interval)", "p", "p (Holm)", "Cases (patients)"),
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
        _case_text(organ),
        p_text(organ.p_value),
        p_text(organ.p_holm),
        f"{organ.cases} ({organ.patients})" + (f", {organ.unpaired} unpaired" if organ.unpaired else ""),
    )


def _case_text(organ: OrganDifference) -> str:
    if organ.case_interval is None:
        return NONE if organ.p_value is None else signed_text(organ.case_mean, 3)
    return f"{signed_text(organ.case_mean, 3)} ({interval_text(organ.case_interval, 3)})"


def _organ_data(organ: OrganDifference) -> dict[str, Value]:
    return {
        "organ": organ.organ,
        **_interval_data("over_folds", organ.mean, organ.interval),
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
