"""Which held-out cases the report shows."""

from collections.abc import Sequence
from dataclasses import dataclass

from mixcl_auto.metrics.averaging import mean_per_case
from mixcl_auto.reporting.grid import SCRATCH, Grid, ScoredRun
from mixcl_auto.reporting.roles import inits_by_role


@dataclass(frozen=True)
class CaseChoice:
    """A held-out case with the runs whose predictions of it are shown."""

    case: str
    reason: str
    runs: tuple[ScoredRun, ...]


def choose_cases(grid: Grid, target: str) -> list[CaseChoice]:
    """Up to three held-out cases of the smallest share of labels at which both arms kept predictions.

    They are the cases of the lowest, the median and the highest difference of Dice, pre-trained (by MixCL, if
    that arm has some) minus scratch; where only one arm has predictions, those of its lowest, median and
    highest Dice.
    """
    roles = inits_by_role(grid)
    for fraction in grid.fractions(target):
        scratch = grid.arm(target, SCRATCH, fraction)
        for init in (*roles["mixcl"], *roles["supervised"], *roles["unknown"]):
            arm = grid.arm(target, init, fraction)
            shared = sorted(scratch.keys() & arm.keys())
            runs = [pair for unit in shared if (pair := _with_predictions(scratch[unit], arm[unit]))]
            if runs:
                return _three(runs)
    for key in grid.keys:
        run = grid.get(key)
        if key.dataset == target and run is not None and (alone := _with_predictions(run)):
            return _three([alone])
    return []


def _with_predictions(*runs: ScoredRun) -> tuple[ScoredRun, ...]:
    """The runs, if each kept the label maps of all its held-out cases."""
    kept = all(run.folder.prediction(case).is_file() for run in runs for case in run.run.held_out_cases)
    return runs if kept else ()


def _three(runs: Sequence[tuple[ScoredRun, ...]]) -> list[CaseChoice]:
    """The ends and the middle of the cases, ranked by Dice or, of two runs, by its difference."""
    ranked: list[tuple[float, str, tuple[ScoredRun, ...]]] = []
    for group in runs:
        dice = [mean_per_case((s.case, s.organ, s.dice) for s in run.scores) for run in group]
        for case in group[0].run.held_out_cases:
            values = [value for scores in dice if (value := scores.get(case)) is not None]
            if len(values) == len(group):
                ranked.append((values[-1] - (values[0] if len(group) > 1 else 0.0), case, group))
    ranked.sort(key=lambda item: item[:2])
    figure = "difference of Dice" if len(runs[0]) > 1 else "Dice"
    names = {len(ranked) // 2: "median"} if ranked else {}
    if len(ranked) > 1:
        names |= {0: "lowest", len(ranked) - 1: "highest"}
    return [
        CaseChoice(ranked[place][1], f"{names[place]} {figure}", ranked[place][2]) for place in sorted(names)
    ]
