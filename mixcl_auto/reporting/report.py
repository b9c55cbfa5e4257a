"""The report on a plan: tables, figures, one table of all scores, and the page."""

import pandas as pd

from mixcl_auto.io.files import write_text
from mixcl_auto.io.workspace import ReportFolder, Workspace
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.score import OrganScore
from mixcl_auto.reporting.curves import draw_finetuning, draw_label_efficiency, draw_pretraining
from mixcl_auto.reporting.detail_tables import difference_table, organ_table
from mixcl_auto.reporting.grid import Grid, RunKey, collect_grid
from mixcl_auto.reporting.overlays import Picture, draw_overlays
from mixcl_auto.reporting.page import Pictures, build_page, picture_of, render_page
from mixcl_auto.reporting.table_formats import write_table
from mixcl_auto.reporting.tables import table_1, table_2


def write_report(workspace: Workspace, plan: Plan, plan_name: str) -> ReportFolder:
    """Write the report on everything that was run under a plan.

    Works on an unfinished grid, where missing cells say so, and on ``run.json`` and ``scores.csv`` alone,
    where pictures of cases and of training are left out with a sentence.

    Args:
        workspace: with the results.
        plan: whose experiment says which runs are expected.
        plan_name: stem of the plan's file, which names the results.

    Returns:
        The folder: ``index.html``, ``table1``, ``table2``, ``differences`` and ``per_organ`` as Markdown, CSV
        and LaTeX, ``all_scores.csv``, and ``figures/``.
    """
    folder = workspace.report(plan_name)
    grid = collect_grid(workspace, plan, plan_name)
    headlines, organs = (table_1(grid), difference_table(grid), table_2(grid)), organ_table(grid)
    for table in (*headlines, organs):
        write_table(folder, table)
    write_text(folder.scores, all_scores(grid))
    pictures = draw_pictures(workspace, grid, folder)
    page = build_page(grid, plan_name, headline_tables=headlines, organs=organs, pictures=pictures)
    write_text(folder.page, render_page(page))
    return folder


def all_scores(grid: Grid) -> str:
    """The scores of all finished runs as CSV: which run, then the columns of ``scores.csv``."""
    rows = [
        {**scored.key._asdict(), **score.model_dump()} for scored in grid.finished for score in scored.scores
    ]
    columns = [*RunKey._fields, *OrganScore.model_fields]
    text: str = pd.DataFrame(rows, columns=columns).to_csv(index=False, lineterminator="\n")
    return text


def draw_pictures(workspace: Workspace, grid: Grid, folder: ReportFolder) -> Pictures:
    """Draw everything that the files at hand allow."""
    label_efficiency: list[Picture] = []
    overlays: list[Picture] = []
    notes: list[str] = []
    training: list[Picture] = []
    for started in grid.pretrainings:
        name = started.run.name
        drawn = draw_pretraining(started.folder.log, folder.figure(f"pretraining_{name}.svg"))
        caption = f"Pre-training {name}: every step thin, the running mean thick."
        training += picture_of(drawn, caption)
    for target in grid.targets:
        drawn = draw_label_efficiency(grid, target, folder.figure(f"label_efficiency_{target}.svg"))
        caption = f"{target}: large symbols are means over runs, small ones single runs (fold and seed)."
        label_efficiency += picture_of(drawn, caption)
        found, note = draw_overlays(workspace, grid, target, folder)
        overlays += found
        notes += [f"{target}: {note}"] if note else []
        drawn = draw_finetuning(grid, target, folder.figure(f"finetuning_{target}.svg"))
        training += picture_of(drawn, f"Fine-tuning on {target}: running mean of the loss, a line per run.")
    return Pictures(label_efficiency, overlays, notes, training)
