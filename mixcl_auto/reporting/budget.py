"""Dice over the steps of the same fine-tunings: what an arm gains may depend on the budget."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mixcl_auto.errors import MixCLError
from mixcl_auto.io.scores import read_scores
from mixcl_auto.reporting.arms import ArmFigure, Difference, arm_figure, difference
from mixcl_auto.reporting.grid import SCRATCH, Grid, ScoredRun
from mixcl_auto.reporting.table_formats import (
    NONE,
    Table,
    Value,
    figure_text,
    interval_text,
    percent_text,
    signed_text,
)
from mixcl_auto.reporting.tables import difference_data, table_cells

_REMEDY = "remove the file, or fine-tune again in an empty folder to have it"
_NOTE = (
    "After each step the runs paused, and their held-out cases were predicted and scored; the last step "
    "is the end of the runs. The learning rate falls until that end, so a step on the way is no run of "
    "that budget: its rate has not decayed yet. Dice: mean over organs, then cases, then runs; in "
    "brackets, how many of the expected runs (folds x seeds) there are. Differences: as in the table of "
    "differences, a fold being the unit. All steps are of the same runs, and so no further evidence."
)


@dataclass(frozen=True)
class Budget:
    """The finished runs of a grid as they were at the steps that they were scored after."""

    grid: Grid
    at_step: dict[int, Grid]
    """For each step, ascending, the grid with the runs that were scored there, and with these scores."""
    cells: frozenset[tuple[str, float]]
    """Targets and shares of labels of which some run was scored before its end."""
    problems: tuple[str, ...] = ()
    """Files that can't be used."""

    def steps(self, target: str, fraction: float) -> tuple[int, ...]:
        """Steps after which runs of a cell were scored; none where all were at their end alone."""
        if (target, fraction) not in self.cells:
            return ()
        return tuple(
            step
            for step, grid in self.at_step.items()
            if any((run.key.dataset, run.key.fraction) == (target, fraction) for run in grid.finished)
        )


def collect_budget(grid: Grid) -> Budget:
    """Read ``scores_at_<step>.csv`` of every finished run; ``scores.csv`` is of its last step."""
    runs: dict[int, list[ScoredRun]] = {}
    cells: set[tuple[str, float]] = set()
    problems: list[str] = []
    for run in grid.finished:
        for step, scored in _on_the_way(run, problems):
            runs.setdefault(step, []).append(scored)
            cells.add((run.key.dataset, run.key.fraction))
        runs.setdefault(run.run.iterations, []).append(run)
    at_step = {step: _grid_of(grid, runs[step]) for step in sorted(runs)}
    return Budget(grid, at_step, frozenset(cells), tuple(problems))


def budget_table(budget: Budget) -> Table | None:
    """Each arm's Dice after each step, and its difference to scratch; nothing without steps on the way."""
    rows: list[tuple[str, ...]] = []
    data: list[dict[str, Value]] = []
    for target, fraction in table_cells(budget.grid):
        for step in budget.steps(target, fraction):
            for init in budget.grid.inits:
                grid = budget.at_step[step]
                arm = arm_figure(grid, target, init, fraction)
                compared = difference(grid, target, init, fraction) if init != SCRATCH else None
                if arm.found is None:
                    continue
                rows.append((target, percent_text(fraction), str(step), init, *_texts(arm, compared)))
                names: dict[str, Value] = {"target": target, "fraction": fraction, "step": step, "init": init}
                data.append(names | _data(arm, compared))
    if not rows:
        return None
    return Table(
        name="budget",
        title="Dice on the way to the last step",
        note=_NOTE,
        columns=("Target", "Pct.", "Step", "Init", "Dice", f"Minus {SCRATCH}", "95 % interval", "Pairs"),
        rows=tuple(rows),
        data=tuple(data),
        text_columns=4,
        block_columns=3,
    )


def _on_the_way(run: ScoredRun, problems: list[str]) -> Iterator[tuple[int, ScoredRun]]:
    """The run at each step before its last one; what can't be used is noted."""
    for step, path in run.folder.scores_on_the_way().items():
        try:
            scores = tuple(read_scores(path, remedy=_REMEDY))
        except MixCLError as problem:
            problems.append(str(problem))
            continue
        missing = set(run.run.held_out_cases) - {score.case for score in scores}
        if missing:
            problems.append(f"{path}: no scores of {', '.join(sorted(missing))}; {_REMEDY}")
        elif step >= run.run.iterations:
            problems.append(f"{path}: the run ended after step {run.run.iterations}; remove the file")
        else:
            yield step, replace(run, scores=scores)


def _grid_of(grid: Grid, runs: list[ScoredRun]) -> Grid:
    """The same experiment with these finished runs alone."""
    return Grid(plan=grid.plan, finished=tuple(runs), fold_counts=grid.fold_counts)


def _texts(arm: ArmFigure, compared: Difference | None) -> tuple[str, ...]:
    """An arm's cells: Dice, then what sets it apart from scratch."""
    mean, count = (arm.found.mean, arm.found.count) if arm.found else (None, 0)
    dice = f"{figure_text(mean)} ({count}/{arm.expected})"
    if compared is None or not compared.pairs:
        return (dice, NONE, NONE, NONE)
    interval = interval_text(compared.interval)
    return (dice, signed_text(compared.mean), interval, f"{compared.pairs}/{compared.expected}")


def _data(arm: ArmFigure, compared: Difference | None) -> dict[str, Value]:
    """The same unrounded."""
    found = arm.found
    values: dict[str, Value] = {
        "dice": found.mean if found else None,
        "dice_standard_deviation": found.deviation if found else None,
        "runs": found.count if found else 0,
        "runs_expected": arm.expected,
    }
    return values | difference_data("", compared or Difference(0, arm.expected, None, None))
