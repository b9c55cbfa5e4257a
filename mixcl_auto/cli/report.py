"""``mixcl_auto report``."""

from typing import TYPE_CHECKING

import click

from mixcl_auto.cli.options import OnceEach, Settings, pass_settings, plan_option

if TYPE_CHECKING:
    from mixcl_auto.io.workspace import ReportFolder


@click.command("report", cls=OnceEach, short_help="Write the tables and the HTML page.")
@plan_option
@click.option(
    "--with-paper",
    is_flag=True,
    help="Put the paper's published Dice beside ours where a target is MSD Spleen or BTCV.",
)
@pass_settings
def report(settings: Settings, plan: str | None, with_paper: bool) -> None:
    """Write the tables and the page on everything that was run under a plan.

    Works on an unfinished grid and says what is missing.
    """
    from mixcl_auto.workflows.report import report as run

    print_report(run(settings.workspace, plan=plan, with_paper=with_paper))


def print_report(folder: "ReportFolder") -> None:
    """The main table, what the differences say, and where the page is."""
    for text in (folder.table("table1", "md"), folder.findings):
        click.echo(text.read_text(encoding="utf-8"))
    click.echo(f"The page is {folder.page}")
