"""Which held-out cases the report shows."""

from collections.abc import Sequence
from dataclasses import dataclass

from mixcl_auto.metrics.averaging import mean_per_case
from mixcl_auto.reporting.grid import SCRATCH, Grid, ScoredRun
from mixcl_auto.reporting.roles import inits_by_role

RunGroup = tuple[ScoredRun, ...]
"""Runs of one fold and seed whose predictions are shown beside each other: scratch first, or one alone."""


@dataclass(frozen=True)
class CaseChoice:
    """A held-out case with the runs whose predictions of it are shown."""

    case: str
    reason: str
    runs: RunGroup
    organ: str | None = None
    """What the pictures are centred on; where absent, on where the runs differ."""


def choose_cases(grid: Grid, target: str) -> list[CaseChoice]:
    """The cases of the lowest, the median and the highest difference of Dice, pre-trained minus scratch.

    Of the runs that :func:`shown_runs` names; where only one arm has predictions, the cases of its lowest,
    median and highest Dice.
    """
    groups = shown_runs(grid, target)
    ranked: list[tuple[float, str, RunGroup]] = []
    for group in groups:
        dice = [mean_per_case((s.case, s.organ, s.dice) for s in run.scores) for run in group]
        for case in group[0].run.held_out_cases:
            values = [value for scores in dice if (value := scores.get(case)) is not None]
            if len(values) == len(group):
                ranked.append((values[-1] - (values[0] if len(group) > 1 else 0.0), case, group))
    ranked.sort(key=lambda item: item[:2])
    figure = "difference of Dice" if groups and len(groups[0]) > 1 else "Dice"
    names = {len(ranked) // 2: "median"} if ranked else {}
    if len(ranked) > 1:
        names |= {0: "lowest", len(ranked) - 1: "highest"}
    return [
        CaseChoice(ranked[place][1], f"{names[place]} {figure}", ranked[place][2]) for place in sorted(names)
    ]


def choose_worst_per_organ(grid: Grid, target: str, most: int = 12) -> list[CaseChoice]:
    """For each organ, the case on which the last of the shown runs has its lowest Dice; the worst organs.

    A missed or invented organ has Dice 0, so the largest of these comes first.
    """
    worst: dict[str, tuple[tuple[float, int, str], RunGroup]] = {}
    for group in shown_runs(grid, target):
        for score in group[-1].scores:
            if score.dice is None:
                continue
            size = max(score.reference_voxels, score.prediction_voxels)
            rank = (score.dice, -size, score.case)
            if score.organ not in worst or rank < worst[score.organ][0]:
                worst[score.organ] = (rank, group)
    return [
        CaseChoice(rank[2], f"lowest Dice of {organ} by {group[-1].key.init}", group, organ)
        for organ, (rank, group) in sorted(worst.items(), key=lambda item: item[1][0])[:most]
    ]


def shown_runs(grid: Grid, target: str) -> Sequence[RunGroup]:
    """The pairs of runs, scratch and pre-trained, of the smallest share of labels with predictions of both.

    Pre-trained by MixCL, if that arm has some, else by another method; where no arm can be paired, the first
    run that kept its predictions.
    """
    roles = inits_by_role(grid)
    for fraction in grid.fractions(target):
        scratch = grid.arm(target, SCRATCH, fraction)
        for init in (*roles["mixcl"], *roles["supervised"], *roles["unknown"]):
            arm = grid.arm(target, init, fraction)
            shared = sorted(scratch.keys() & arm.keys())
            if runs := [pair for unit in shared if (pair := _with_predictions(scratch[unit], arm[unit]))]:
                return runs
    for key in grid.keys:
        run = grid.get(key)
        if key.dataset == target and run is not None and (alone := _with_predictions(run)):
            return [alone]
    return []


def _with_predictions(*runs: ScoredRun) -> RunGroup:
    """The runs, if each kept the label maps of all its held-out cases."""
    kept = all(run.folder.prediction(case).is_file() for run in runs for case in run.run.held_out_cases)
    return runs if kept else ()
