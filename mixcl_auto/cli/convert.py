"""``mixcl_auto convert``."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mixcl_auto.cli.options import OnceEach, Settings, jobs_option, pass_settings
from mixcl_auto.cli.suggestions import program

if TYPE_CHECKING:
    from mixcl_auto.workflows.convert import Converted

LAYOUT_NAMES = ("msd", "kits19", "nih_pancreas", "btcv")


@click.command("convert", cls=OnceEach, short_help="Describe a public dataset where it lies.")
@click.argument("layout", type=click.Choice(LAYOUT_NAMES))
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--name",
    metavar="NAME",
    help="What to call the dataset. [default: as the download is called]",
)
@click.option(
    "--role",
    type=click.Choice(["pretrain", "target", "both"]),
    help="What to use it for. [default: as the paper does]",
)
@jobs_option
@pass_settings
def convert(
    settings: Settings, layout: str, source: Path, name: str | None, role: str | None, jobs: int | None
) -> None:
    """Write raw_data/NAME/dataset.json for the public dataset at SOURCE, as downloaded and extracted.

    The files stay where and as they are. LAYOUT is msd (a CT task of the Medical Segmentation Decathlon),
    kits19, nih_pancreas or btcv; SOURCE is the dataset's folder, or one above it. A dataset in nnU-Net's
    layout needs no conversion: put or link it into raw_data/.
    """
    from mixcl_auto.cli.progress_bar import open_progress
    from mixcl_auto.workflows.convert import convert as run

    done = run(layout, source, settings.workspace, name=name, role=role, jobs=jobs, progress=open_progress())
    print_conversion(done, settings.workspace)


def print_conversion(done: "Converted", workspace: Path) -> None:
    """What the dataset is, what was left out, where it is described, and what to do next."""
    from mixcl_auto.cli.tables import counted
    from mixcl_auto.converters.conversion import left_out_lines

    dataset = done.dataset
    click.echo(f"{dataset.name}: {counted(len(dataset.cases), 'case')}, role {dataset.role}")
    click.echo(f"labels: {', '.join(f'{value} {name}' for name, value in dataset.labels.items())}")
    for line in (*done.remarks, *left_out_lines(done.left_out)):
        click.echo(line)
    for warning in done.warnings:
        click.echo(f"Warning: {warning}", err=True)
    written = "was there already, with the same content" if done.unchanged else "is written"
    click.echo(f"{done.path} {written}; the scans stay where they are")
    click.echo(f"Next: {program(workspace)} validate -d {shlex.quote(dataset.name)}")
