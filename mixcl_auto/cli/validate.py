"""``mixcl_auto validate``."""

from pathlib import Path

import click

from mixcl_auto.cli.options import (
    OnceEach,
    Settings,
    datasets_option,
    jobs_option,
    pass_settings,
    raw_data_option,
)


@click.command("validate", cls=OnceEach, short_help="List every problem of the raw data.")
@raw_data_option
@datasets_option
@jobs_option
@pass_settings
def validate(settings: Settings, raw_data: Path | None, datasets: tuple[str, ...], jobs: int | None) -> None:
    """Check every case of the raw data and list every problem at once.

    Where many problems are of one kind, the first few are shown; validation.json in the workspace has all.
    Exit code 1 if any problem is an error; warnings alone do not count.
    """
    from mixcl_auto.cli.findings import print_findings
    from mixcl_auto.cli.progress_bar import open_progress
    from mixcl_auto.cli.tables import counted
    from mixcl_auto.workflows.validate import validate as run

    checked = run(
        settings.workspace, raw_data=raw_data, datasets=datasets, jobs=jobs, progress=open_progress()
    )
    print_findings(checked.findings)
    click.echo(
        f"{counted(checked.cases, 'case')} in {counted(len(checked.datasets), 'dataset')}; see {checked.path}"
    )
    if any(finding.severity == "error" for finding in checked.findings):
        raise click.exceptions.Exit(1)
