"""Tables 1 and 2 of the paper."""

from collections.abc import Iterator

from mixcl_auto.reporting.arms import ArmFigure, Difference, arm_figure, difference
from mixcl_auto.reporting.grid import SCRATCH, Grid
from mixcl_auto.reporting.published_columns import published_table_1, published_table_2
from mixcl_auto.reporting.roles import baseline_pairs, column_titles, fresh_level_0, inits_by_role
from mixcl_auto.reporting.table_formats import (
    MISSING,
    TICK,
    Table,
    Value,
    figure_text,
    percent_text,
    signed_text,
)

TERMS = ("identity", "label", "reconstruction")
PAPER_ABLATION = ("reconstruction",)
"""What Table 2 of the paper leaves out in its middle row."""

_COUNTS = "In brackets: how many of the expected runs (folds x seeds) there are."
_UNEVEN = "Where these numbers differ, Dice is of other folds and seeds, and not to be subtracted."


def table_1(grid: Grid, *, with_paper: bool = False) -> Table:
    """Dice after training from scratch and from each other start, per target and share of labels.

    Controls come first, then the supervised baseline, MixCL, and MixCL minus the baseline.

    Args:
        grid: with the runs.
        with_paper: put the paper's published values beside ours, where its datasets are the targets.
    """
    titles, pairs = column_titles(grid), baseline_pairs(grid)
    columns = ["Target", "Pct.", "T.F.S."]
    for title in titles.values():
        columns += [title, "Diff."]
    columns += [f"{titles[ours]} - {titles[supervised]}" for ours, supervised in pairs]
    rows, data = [], []
    for target, fraction in table_1_cells(grid):
        scratch = arm_figure(grid, target, SCRATCH, fraction)
        row = [target, percent_text(fraction), _arm_text(scratch)]
        values: dict[str, Value] = {"target": target, "fraction": fraction, **_arm_data("scratch", scratch)}
        for init in titles:
            arm, compared = arm_figure(grid, target, init, fraction), difference(grid, target, init, fraction)
            row += [_arm_text(arm), _difference_text(compared)]
            values |= {**_arm_data(init, arm), **difference_data(init, compared)}
        for ours, supervised in pairs:
            compared = difference(grid, target, ours, fraction, baseline=supervised)
            row.append(_difference_text(compared))
            values |= difference_data(f"{ours}_minus_{supervised}", compared)
        rows.append(tuple(row))
        data.append(values)
    table = Table(
        name="table1",
        title="Table 1: Dice from scratch (T.F.S.) and from the pre-trained encoder (Ours)",
        note=f"{_arms_note(grid)}Mean over organs, then cases, then runs, on the scans' own grids. "
        f"{_COUNTS} {_UNEVEN} Diff. is the column before it minus T.F.S. Differences compare only the runs "
        "that both arms have, over the seeds of each fold, then over folds, before rounding; in brackets, "
        "how many those runs are.",
        columns=tuple(columns),
        rows=tuple(rows),
        data=tuple(data),
    )
    return published_table_1(table) if with_paper else table


def table_2(grid: Grid, *, with_paper: bool = False) -> Table:
    """Dice without some of MixCL's terms, per target, at the shares of labels where an ablation was run.

    Args:
        grid: with the runs.
        with_paper: as in `table_1`.
    """
    arms = _ablation_arms(grid)
    rows, data = [], []
    for target, fraction in _ablation_cells(grid):
        for init, without in arms:
            arm = arm_figure(grid, target, init, fraction) if init else ArmFigure(None, 0)
            on = [init != SCRATCH and term not in without for term in TERMS]
            ticks = [TICK if is_on else "" for is_on in on]
            rows.append((target, percent_text(fraction), *ticks, init, _arm_text(arm)))
            flags = {term: int(is_on) for term, is_on in zip(TERMS, on, strict=True)}
            data.append({"target": target, "fraction": fraction, "init": init, **flags, **_arm_data("", arm)})
    remedy = "No ablation was run: `mixcl_auto experiment --table 2` runs those of the plan. "
    table = Table(
        name="table2",
        title="Table 2: Dice without some of MixCL's terms",
        note=f"{'' if any(grid.without.values()) else remedy}Means as in Table 1. {_COUNTS} {_UNEVEN} The "
        "table of differences has each ablation minus the MixCL that differs in its terms alone.",
        columns=("Target", "Pct.", "Identity", "Label", "Recon", "Init", "Dice"),
        rows=tuple(rows),
        data=tuple(data),
        text_columns=6,
    )
    return published_table_2(table) if with_paper else table


def table_cells(grid: Grid) -> Iterator[tuple[str, float]]:
    """Every target with each of its shares of labels."""
    for target in grid.targets:
        for fraction in grid.fractions(target):
            yield target, fraction


def table_1_cells(grid: Grid) -> Iterator[tuple[str, float]]:
    """The same without shares of labels that are there for the ablations alone."""
    return (cell for cell in table_cells(grid) if not grid.is_table_2_alone(*cell))


def _ablation_arms(grid: Grid) -> list[tuple[str, tuple[str, ...]]]:
    """Initialisations with the terms they leave out, most first; the paper's rows where none was run."""
    ablations = sorted(
        ((init, without) for init, without in grid.without.items() if without),
        key=lambda arm: (-len(arm[1]), arm[0]),
    )
    full: list[tuple[str, tuple[str, ...]]] = [(init, ()) for init in inits_by_role(grid)["mixcl"]]
    return [(SCRATCH, TERMS), *(ablations or [("", PAPER_ABLATION)]), *full]


def _ablation_cells(grid: Grid) -> list[tuple[str, float]]:
    """Where an ablation was fine-tuned; before that where the plan wants them."""
    ablated = {(key.dataset, key.fraction) for key in grid.keys if grid.without.get(key.init)}
    if cells := [cell for cell in table_cells(grid) if cell in ablated]:
        return cells
    planned = grid.plan.experiment.ablation_fractions_of
    return [(target, fraction) for target in grid.targets for fraction in planned(target)]


def _arms_note(grid: Grid) -> str:
    """What the columns compare."""
    roles = inits_by_role(grid)
    sentences = []
    if roles["random"]:
        controls = ", ".join(roles["random"])
        sentences.append(f"Other random weights alone ({controls}) show what a difference by chance is.")
    if (rate := grid.plan.finetune.transferred_rate) != 1:
        alike = f" ({roles['slow'][0]} at that rate too)" if roles["slow"] else ""
        sentences.append(
            f"What was pre-trained learns at {rate:g} times the rate of random weights{alike}: that belongs "
            "to the difference."
        )
    if fresh := [init for init in roles["mixcl"] if fresh_level_0(grid, init)]:
        who = "MixCL" if len(fresh) == len(roles["mixcl"]) else ", ".join(fresh)
        sentences.append(f"The finest level is not handed on by {who} and starts random.")
    if roles["supervised"]:
        sentences.append(
            "Supervised: the same encoder, pre-trained by segmentation of the pool on the same batches."
        )
    if len(roles["mixcl"]) == 1:
        sentences.append(f"Ours is {roles['mixcl'][0]}.")
    return "".join(f"{sentence} " for sentence in sentences)


def _arm_text(arm: ArmFigure) -> str:
    if arm.found is None:
        return MISSING
    return f"{figure_text(arm.found.mean)} ({arm.found.count}/{arm.expected})"


def _difference_text(compared: Difference) -> str:
    if compared.mean is None:
        return MISSING
    return f"{signed_text(compared.mean)} ({compared.pairs})"


def _arm_data(name: str, arm: ArmFigure) -> dict[str, Value]:
    prefix = f"{name}_" if name else ""
    found = arm.found
    return {
        f"{prefix}dice": found.mean if found else None,
        f"{prefix}standard_deviation": found.deviation if found else None,
        f"{prefix}runs": found.count if found else 0,
        f"{prefix}runs_expected": arm.expected,
    }


def difference_data(name: str, compared: Difference) -> dict[str, Value]:
    """A difference as CSV columns that begin with ``name``."""
    prefix = f"{name}_" if name else ""
    interval = compared.interval
    return {
        f"{prefix}difference": compared.mean,
        f"{prefix}difference_low": interval.low if interval else None,
        f"{prefix}difference_high": interval.high if interval else None,
        f"{prefix}difference_pairs": compared.pairs,
    }
