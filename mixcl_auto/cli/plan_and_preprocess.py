"""``mixcl_auto plan_and_preprocess``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mixcl_auto.cli.numbers import AutoOrNumbers, Numbers, NumbersCommand
from mixcl_auto.cli.options import (
    FiniteRange,
    Settings,
    address_option,
    datasets_option,
    engine_option,
    jobs_option,
    max_time_option,
    pass_settings,
    raw_data_option,
    set_option,
)

if TYPE_CHECKING:
    from mixcl_auto.engines.open_engine import EngineName
    from mixcl_auto.records.plan import Plan


@click.command(
    "plan_and_preprocess",
    cls=NumbersCommand,
    short_help="Measure the data, write the plan, fill the cache.",
)
@raw_data_option
@datasets_option
@click.option(
    "--preset",
    type=click.Choice(["paper", "balanced", "tiny"]),
    default="paper",
    show_default=True,
    help="Size and objective to start from; tiny suits a CPU.",
)
@click.option(
    "--name",
    metavar="NAME",
    default="plan",
    show_default=True,
    help="The plan is written to plans/NAME.json.",
)
@click.option(
    "--spacing",
    type=AutoOrNumbers(3, "X Y Z"),
    help="Voxel size in mm, or auto to take it from the data. [default: the preset's]",
)
@click.option(
    "--window",
    type=AutoOrNumbers(2, "LOW HIGH"),
    help="Intensities kept, in HU, or auto to take them from the labelled voxels. [default: the preset's for "
    "CT, auto for others]",
)
@click.option(
    "--pretrain",
    metavar="NAME",
    multiple=True,
    help="Pre-train on this dataset, whatever its dataset.json says; can be repeated.",
)
@click.option(
    "--target",
    metavar="NAME",
    multiple=True,
    help="Fine-tune on this dataset, whatever its dataset.json says; can be repeated.",
)
@click.option(
    "--memory-gb",
    type=FiniteRange(min=0, min_open=True),
    metavar="GB",
    help="Choose patch and batch for a device with so much memory. [default: that of the smallest GPU, or of "
    "this machine]",
)
@set_option
@jobs_option
@engine_option
@address_option
@click.option("--plan-only", is_flag=True, help="Write the plan, but no cache.")
@click.option("--skip-invalid", is_flag=True, help="Leave cases with errors out, and say so in the plan.")
@max_time_option
@pass_settings
def plan_and_preprocess(
    settings: Settings,
    raw_data: Path | None,
    datasets: tuple[str, ...],
    preset: str,
    name: str,
    spacing: Numbers | None,
    window: Numbers | None,
    pretrain: tuple[str, ...],
    target: tuple[str, ...],
    memory_gb: float | None,
    edits: tuple[str, ...],
    jobs: int | None,
    engine: "EngineName",
    address: str | None,
    plan_only: bool,
    skip_invalid: bool,
) -> None:
    """Check and measure the raw data, write the plan, and preprocess every case into the cache.

    Done cases are kept: after an interruption the same command goes on where it was.
    """
    from mixcl_auto.cli.findings import print_findings
    from mixcl_auto.cli.progress_bar import open_progress
    from mixcl_auto.cli.tables import counted
    from mixcl_auto.workflows.plan_and_preprocess import plan_and_preprocess as run

    done = run(
        settings.workspace,
        raw_data=raw_data,
        datasets=datasets,
        preset=preset,
        name=name,
        spacing=spacing,
        window=window,
        pretrain=pretrain,
        target=target,
        memory_gb=memory_gb,
        edits=edits,
        jobs=jobs,
        engine=engine,
        address=address,
        plan_only=plan_only,
        skip_invalid=skip_invalid,
        on_findings=print_findings,
        on_plan=print_plan,
        progress=open_progress(),
    )
    click.echo(f"The plan is {done.path}")
    for failure in done.failures:
        click.echo(f"Error: {failure.dataset}, {failure.case}: {failure.message}", err=True)
    if done.failures:
        failed = counted(len(done.failures), "case")
        raise click.ClickException(f"{failed} could not be preprocessed; the others are done.")


def print_plan(plan: "Plan") -> None:
    """The decisions with their reasons, and the warnings."""
    from mixcl_auto.cli.tables import print_table

    rows = [(item.field, item.value, item.rule, item.reason) for item in plan.decisions]
    print_table("Decisions", ("field", "value", "rule", "reason"), rows)
    for warning in plan.warnings:
        click.echo(f"Warning: {warning}")
