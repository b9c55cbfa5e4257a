"""Dice of one pre-training minus that of another, which ``report`` does not table, and its interval.

``python docs/evidence/difference.py mixcl paper`` reads the scores here, plan ``recipe``; ``--plan careful``
those of the plan before it; ``--step 300`` those on the way, ``--seed 0`` those of one seed.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from mixcl_auto.io.plans import read_plan
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.reporting.arms import difference
from mixcl_auto.reporting.budget import collect_budget
from mixcl_auto.reporting.grid import collect_grid

TARGET = "HN_Organs"


def main() -> None:
    """Print the mean difference and its 95 % Student-t interval over folds for each share of labels."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("first")
    arguments.add_argument("second")
    arguments.add_argument("--plan", default="recipe")
    arguments.add_argument("--step", type=int, help="default: the last")
    arguments.add_argument("--seed", type=int, help="default: all")
    asked = arguments.parse_args()
    workspace = Workspace(Path(__file__).parent)
    grid = collect_grid(workspace, read_plan(workspace.plan(asked.plan)), asked.plan)
    if asked.step is not None:
        grid = collect_budget(grid).at_step[asked.step]
    if asked.seed is not None:
        grid = replace(grid, finished=tuple(run for run in grid.finished if run.key.seed == asked.seed))
    for fraction in grid.fractions(TARGET):
        found = difference(grid, TARGET, asked.first, fraction, baseline=asked.second)
        if found.interval is not None:
            ends = f"{found.interval.low:+.3f} to {found.interval.high:+.3f}"
            print(f"{fraction:.0%}: {found.mean:+.3f} ({ends}), {found.folds} folds, {found.pairs} runs")


if __name__ == "__main__":
    main()
