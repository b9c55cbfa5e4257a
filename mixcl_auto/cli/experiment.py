"""``mixcl_auto experiment``."""

import shlex
from typing import TYPE_CHECKING

import click

from mixcl_auto.cli.options import (
    FiniteRange,
    OnceEach,
    Settings,
    address_option,
    device_option,
    engine_option,
    max_time_option,
    pass_settings,
    plan_option,
    tensorboard_option,
)
from mixcl_auto.cli.suggestions import name_workspace
from mixcl_auto.errors import RunError

if TYPE_CHECKING:
    from mixcl_auto.engines.open_engine import EngineName
    from mixcl_auto.records.experiment import TableChoice


@click.command("experiment", cls=OnceEach, short_help="Run the whole grid of the plan's experiment.")
@plan_option
@click.option(
    "--table",
    type=click.Choice(["all", "1", "2"]),
    default="all",
    show_default=True,
    help="The runs of Table 1 (folds x fractions x inits x targets), of Table 2 (ablations), or of both.",
)
@engine_option
@address_option
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Runs at once at most. [default: what GPUs, or cores and the plan's threads, allow]",
)
@click.option(
    "--gpus-per-run",
    type=FiniteRange(min=0),
    help="0.5: two runs share a GPU; 2: each run trains on two. [default: 1 if there are GPUs]",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="How often a run that failed is tried again.",
)
@device_option
@tensorboard_option
@click.option("--dry-run", is_flag=True, help="Print the commands that are left to run, and run none.")
@click.option("--status", is_flag=True, help="Show how far the runs are, wherever they run, and run none.")
@max_time_option
@pass_settings
def experiment(
    settings: Settings,
    plan: str | None,
    table: "TableChoice",
    engine: "EngineName",
    address: str | None,
    jobs: int | None,
    gpus_per_run: float | None,
    retries: int,
    device: str | None,
    tensorboard: bool,
    dry_run: bool,
    status: bool,
) -> None:
    """Run everything that the plan's experiment asks for and that is not done yet.

    Pre-trainings come first. Each run is a process of its own with a log, run.log, in its folder. Stop with
    Ctrl-C: the runs save their state, and the same command goes on. The same command on several machines that
    share the workspace shares the work.
    """
    from mixcl_auto.cli.experiment_view import open_watcher, print_overview, report_failures, summarise
    from mixcl_auto.workflows import experiment as workflow

    if status and dry_run:
        raise click.UsageError("--status and --dry-run show different things: give one of them.")
    if status:
        print_overview(workflow.experiment_status(settings.workspace, plan=plan, table=table))
        return
    if dry_run:
        overview, commands = workflow.experiment_commands(
            settings.workspace,
            plan=plan,
            table=table,
            gpus_per_run=gpus_per_run,
            device=device,
            tensorboard=tensorboard,
        )
        click.echo("\n".join([*commands, f"# {summarise(overview)}"]))
        return
    with open_watcher() as watcher:
        overview = workflow.experiment(
            settings.workspace,
            plan=plan,
            table=table,
            engine=engine,
            address=address,
            jobs=jobs,
            gpus_per_run=gpus_per_run,
            retries=retries,
            device=device,
            tensorboard=tensorboard,
            watcher=watcher,
        )
    if failures := report_failures(overview):
        raise RunError(failures)
    report = "mixcl_auto report" + ("" if plan is None else f" -p {shlex.quote(plan)}")
    done = f"All {len(overview.entries)} runs are done; `{report}` writes the tables."
    click.echo(name_workspace(done, settings.workspace))
