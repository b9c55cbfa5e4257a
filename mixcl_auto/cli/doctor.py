"""``mixcl_auto doctor``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mixcl_auto.cli.options import OnceEach, Settings, device_option, pass_settings

if TYPE_CHECKING:
    from mixcl_auto.workflows.repeat_step import RepeatedStep


@click.command("doctor", cls=OnceEach, short_help="Check this machine and installation.")
@device_option
@click.option(
    "--step",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Instead: repeat the step that stopped a training, from its non_finite_step.pt.",
)
@pass_settings
def doctor(settings: Settings, device: str | None, step: Path | None) -> None:
    """Check versions, devices, memory, disk and installed files; train a small network on the device."""
    if step is not None:
        from mixcl_auto.workflows.repeat_step import repeat_step

        _show_step(repeat_step(step, device=device))
        return
    from mixcl_auto.cli.tables import counted, print_table
    from mixcl_auto.workflows.doctor import doctor as run

    checks = run(settings.workspace, device=device)
    print_table(
        "Doctor", ("", "check", "finding"), [(check.state, check.name, check.finding) for check in checks]
    )
    problems = sum(check.state == "problem" for check in checks)
    if problems:
        raise click.ClickException(f"{counted(problems, 'problem')}; see the table.")


def _show_step(found: "RepeatedStep") -> None:
    from mixcl_auto.cli.tables import print_table
    from mixcl_auto.workflows.repeat_step import listed

    failed = found.failed
    click.echo(f"Step {failed.step} of a {failed.section} run in {failed.precision}, then: {failed.terms}")
    click.echo(f"Cases of the batch: {', '.join(dict.fromkeys(failed.batch.cases))}")
    for name, cases in found.odd_inputs.items():
        click.echo(f"Not finite in the batch: {name}, of {listed(cases)}")
    if found.odd_weights:
        click.echo(f"Weights that were not finite before the step: {listed(found.odd_weights)}")
    names = dict.fromkeys(name for one in found.repetitions for name in one.terms)
    rows = [(name, *(one.terms.get(name) for one in found.repetitions)) for name in names]
    print_table("The step, repeated", ("term", *(one.precision for one in found.repetitions)), rows)
    for one in found.repetitions:
        gradients = listed(one.odd_gradients) or "none"
        click.echo(f"Gradients that are not finite in {one.precision}: {gradients}")
