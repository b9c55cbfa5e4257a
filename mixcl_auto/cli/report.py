"""``mixcl_auto report``."""

import click

from mixcl_auto.cli.options import Settings, pass_settings, plan_option


@click.command("report", short_help="Write the tables and the HTML page.")
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

    folder = run(settings.workspace, plan=plan, with_paper=with_paper)
    for text in (folder.table("table1", "md"), folder.findings):
        click.echo(text.read_text(encoding="utf-8"))
    click.echo(f"The page is {folder.page}")
