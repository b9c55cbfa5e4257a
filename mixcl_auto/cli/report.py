"""``mixcl_auto report``."""

import click

from mixcl_auto.cli.options import Settings, pass_settings, plan_option


@click.command("report", short_help="Write the tables and the HTML page.")
@plan_option
@pass_settings
def report(settings: Settings, plan: str | None) -> None:
    """Write the tables and the page on everything that was run under a plan.

    Works on an unfinished grid and says what is missing.
    """
    from mixcl_auto.workflows.report import report as run

    folder = run(settings.workspace, plan=plan)
    table = folder.table("table1", "md")
    if table.is_file():
        click.echo(table.read_text(encoding="utf-8"))
    click.echo(f"The page is {folder.page}")
