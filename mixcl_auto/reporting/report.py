"""The report on a plan: tables, figures, one table of all scores, and the page."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pandas as pd

from mixcl_auto.errors import MixCLError
from mixcl_auto.io.files import write_text
from mixcl_auto.io.partial_files import remove_partials
from mixcl_auto.io.plans import read_fingerprint
from mixcl_auto.io.run_lock import output_lock
from mixcl_auto.io.workspace import ReportFolder, Workspace
from mixcl_auto.records.fingerprint import DatasetFingerprint
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.score import OrganScore
from mixcl_auto.reporting.budget import Budget, budget_table, collect_budget
from mixcl_auto.reporting.budget_figure import draw_budget
from mixcl_auto.reporting.detail_tables import arm_table, difference_table, organ_table
from mixcl_auto.reporting.difference_figures import draw_findings, draw_organ_differences
from mixcl_auto.reporting.findings import findings_markdown
from mixcl_auto.reporting.grid import Grid, RunKey, collect_grid
from mixcl_auto.reporting.headline import Verdict, headline
from mixcl_auto.reporting.label_efficiency import draw_label_efficiency
from mixcl_auto.reporting.organ_difference_table import organ_difference_table
from mixcl_auto.reporting.overlays import CasePictures, Picture, draw_target_cases
from mixcl_auto.reporting.overview import shortfall
from mixcl_auto.reporting.page import Pictures, Tables, build_page, picture_of, render_page
from mixcl_auto.reporting.probe_table import collect_probes, probe_table
from mixcl_auto.reporting.table_formats import remove_table, write_table
from mixcl_auto.reporting.tables import table_1, table_2
from mixcl_auto.reporting.training_curves import draw_finetuning, draw_pretraining

_FIGURES = (
    *("case_*_*.png", "worst_*_*.png", "findings_*.svg", "organs_*.svg", "label_efficiency_*.svg"),
    *("pretraining_*.svg", "finetuning_*.svg", "budget_*.svg"),
)
_TABLES_AT_TIMES = ("budget", "probes")
_CUT = "Intervals of few runs are wide and may be cut at the frame."
_LABEL_EFFICIENCY = (
    "large symbols are means over folds with their 95 % intervals, small ones single runs (fold and seed). "
    "Two intervals that overlap say little about the difference, whose runs are paired, and arms with fewer "
    "points are of other folds and seeds: see the findings."
)


_BUDGET = (
    "the same runs after fewer steps, mean over folds with its 95 % interval; the rate falls until the end, "
    "so a step on the way is no run of that budget."
)


def write_report(
    workspace: Workspace, plan: Plan, plan_name: str, *, with_paper: bool = False
) -> ReportFolder:
    """Write the report on everything that was run under a plan.

    Works on an unfinished grid, where missing cells say so, and on ``run.json`` and ``scores.csv`` alone,
    where pictures of cases and of training are left out with a sentence.

    Args:
        workspace: with the results.
        plan: whose experiment says which runs are expected.
        plan_name: stem of the plan's file, which names the results.
        with_paper: whether the paper's published values stand beside ours, where the targets are its own.

    Returns:
        The folder: ``index.html``, ``findings.md``, the tables as Markdown, CSV and LaTeX,
        ``all_scores.csv``, and ``figures/``.

    Raises:
        RunError: if another process writes the same report.
    """
    folder = workspace.report(plan_name)
    with output_lock(folder.path / "report.lock", folder.path):
        _write(workspace, plan, plan_name, folder, with_paper=with_paper)
    return folder


def _write(
    workspace: Workspace, plan: Plan, plan_name: str, folder: ReportFolder, *, with_paper: bool
) -> None:
    """Write all files; those of an earlier report are replaced one by one."""
    remove_partials(folder.path)
    grid = collect_grid(workspace, plan, plan_name)
    verdicts, budget = headline(grid), collect_budget(grid)
    probes, unreadable = collect_probes(workspace, plan, plan_name)
    problems = dict.fromkeys((*grid.problems, *budget.problems, *unreadable))  # a file may stop several
    grid = replace(grid, problems=tuple(problems))
    tables = Tables(
        headlines=(
            table_1(grid, with_paper=with_paper),
            table_2(grid, with_paper=with_paper),
            arm_table(grid),
        ),
        differences=difference_table(grid),
        organs=(organ_difference_table(grid), organ_table(grid)),
        budget=budget_table(budget),
        probes=probe_table(probes),
    )
    pictures = draw_pictures(workspace, grid, verdicts, folder, budget)
    page = build_page(
        grid,
        plan_name,
        verdicts=verdicts,
        tables=tables,
        pictures=pictures,
        fingerprints=_fingerprints(workspace, plan),
    )
    for table in tables.every:
        write_table(folder, table)
    write_text(folder.findings, findings_markdown(verdicts, shortfall(grid)))
    write_text(folder.scores, all_scores(grid))
    write_text(folder.page, render_page(page))
    _remove_stale(folder, {picture.path for picture in pictures.every}, {t.name for t in tables.every})


def all_scores(grid: Grid) -> str:
    """The scores of all finished runs as CSV: which run, then the columns of ``scores.csv``."""
    rows = [
        {**scored.key._asdict(), **score.model_dump()} for scored in grid.finished for score in scored.scores
    ]
    columns = [*RunKey._fields, *OrganScore.model_fields]
    text: str = pd.DataFrame(rows, columns=columns).to_csv(index=False, lineterminator="\n")
    return text


def draw_pictures(
    workspace: Workspace, grid: Grid, verdicts: Sequence[Verdict], folder: ReportFolder, budget: Budget
) -> Pictures:
    """Draw everything that the files at hand allow."""
    findings: list[Picture] = []
    label_efficiency: list[Picture] = []
    organs: list[Picture] = []
    budgets: list[Picture] = []
    training: list[Picture] = []
    cases = CasePictures()
    for started in grid.pretrainings:
        name = started.run.name
        drawn = draw_pretraining(started.folder.log, folder.figure(f"pretraining_{name}.svg"))
        training += picture_of(drawn, f"Pre-training {name}: every step thin, the running mean thick.")
    for target in grid.targets:
        drawn = draw_findings(grid, verdicts, target, folder.figure(f"findings_{target}.svg"))
        findings += picture_of(drawn, f"{target}: mean difference and its 95 % interval over folds. {_CUT}")
        drawn = draw_label_efficiency(grid, target, folder.figure(f"label_efficiency_{target}.svg"))
        label_efficiency += picture_of(drawn, f"{target}: {_LABEL_EFFICIENCY}")
        drawn = draw_budget(budget, target, folder.figure(f"budget_{target}.svg"))
        budgets += picture_of(drawn, f"{target}: {_BUDGET}")
        drawn = draw_organ_differences(grid, target, folder.figure(f"organs_{target}.svg"))
        organs += picture_of(drawn, f"{target}: each arm minus scratch, 95 % intervals over folds. {_CUT}")
        draw_target_cases(workspace, grid, target, folder, cases)
        drawn = draw_finetuning(grid, target, folder.figure(f"finetuning_{target}.svg"))
        training += picture_of(drawn, f"Fine-tuning on {target}: running mean of the loss, a line per run.")
    return Pictures(findings, label_efficiency, budgets, organs, cases, training)


def _remove_stale(folder: ReportFolder, drawn: set[Path], tables: set[str]) -> None:
    """Remove figures and tables of an earlier report that this one does not have; other files stay."""
    for name in set(_TABLES_AT_TIMES) - tables:
        remove_table(folder, name)
    for pattern in _FIGURES:
        for path in folder.figures.glob(pattern):
            if path not in drawn:
                path.unlink()


def _fingerprints(workspace: Workspace, plan: Plan) -> list[DatasetFingerprint]:
    """Of the planned datasets, as far as they are at hand and those that the plan rests on."""
    found = []
    for dataset in plan.datasets:
        with suppress(MixCLError):
            found.append(read_fingerprint(workspace, dataset))
    return found
