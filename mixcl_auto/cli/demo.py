"""``mixcl_auto demo``."""

from pathlib import Path

import click

from mixcl_auto.cli.options import FiniteRange, OnceEach, Settings, pass_settings
from mixcl_auto.cli.report import print_report


@click.command("demo", cls=OnceEach, short_help="Run every stage on phantoms, in minutes.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default="demo_workspace",
    show_default=True,
    help="The workspace to make, in that of --workspace; running again goes on where it was.",
)
@click.option(
    "--minutes",
    type=FiniteRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    help="About how long to train, on this machine, before the report.",
)
@pass_settings
def demo(settings: Settings, folder: Path, minutes: float) -> None:
    """Show every stage on computed phantoms, on a CPU, in minutes.

    Makes a pool of three datasets and a target, plans, preprocesses, pre-trains, probes the encoder,
    fine-tunes from it and from two draws of random weights at two label fractions, and writes the report.
    """
    from mixcl_auto.cli.progress_bar import open_progress
    from mixcl_auto.workflows.demo import WHAT_IT_SHOWS
    from mixcl_auto.workflows.demo import demo as run

    click.echo(WHAT_IT_SHOWS)
    print_report(run(settings.workspace / folder, minutes=minutes, progress=open_progress(), say=click.echo))
