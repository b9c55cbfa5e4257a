"""``mixcl_auto doctor``."""

import click

from mixcl_auto.cli.options import Settings, device_option, pass_settings


@click.command("doctor", short_help="Check this machine and installation.")
@device_option
@pass_settings
def doctor(settings: Settings, device: str | None) -> None:
    """Check versions, devices, memory, disk and installed files; train a small network on the device."""
    from mixcl_auto.cli.tables import counted, print_table
    from mixcl_auto.workflows.doctor import doctor as run

    checks = run(settings.workspace, device=device)
    print_table(
        "Doctor", ("", "check", "finding"), [(check.state, check.name, check.finding) for check in checks]
    )
    problems = sum(check.state == "problem" for check in checks)
    if problems:
        raise click.ClickException(f"{counted(problems, 'problem')}; see the table.")
