"""``mixcl_auto pretrain``."""

from typing import TYPE_CHECKING

import click

from mixcl_auto.cli.options import (
    OnceEach,
    Settings,
    device_option,
    max_time_option,
    pass_settings,
    plan_option,
    set_option,
    tensorboard_option,
)

if TYPE_CHECKING:
    from mixcl_auto.records.plan_fields import Method, Term


@click.command("pretrain", cls=OnceEach, short_help="Pre-train the encoder on the pool.")
@plan_option
@click.option(
    "--name",
    metavar="NAME",
    help="What finetune --init calls this pre-training.  [default: the method]",
)
@click.option(
    "--method",
    type=click.Choice(["mixcl", "supervised"]),
    help="supervised: the baseline, which learns the pool's labels on the same batches.  "
    "[default: the plan's, mixcl]",
)
@click.option(
    "--without",
    type=click.Choice(["identity", "label", "reconstruction"]),
    multiple=True,
    help="Leave a term of the loss out (Table 2); can be repeated. Give such a run its own --name.",
)
@set_option
@device_option
@tensorboard_option
@max_time_option
@pass_settings
def pretrain(
    settings: Settings,
    plan: str | None,
    name: str | None,
    method: "Method | None",
    without: "tuple[Term, ...]",
    edits: tuple[str, ...],
    device: str | None,
    tensorboard: bool,
) -> None:
    """Pre-train the encoder on the pool, with MixCL or supervised.

    A stopped run goes on by the same command; a finished one is left as it is.
    """
    settings.check_plan(plan, edits)

    from mixcl_auto.cli.progress_bar import open_progress
    from mixcl_auto.workflows.pretrain import pretrain as run

    folder = run(
        settings.workspace,
        plan=plan,
        name=name,
        method=method,
        without=without,
        edits=edits,
        device=device,
        tensorboard=tensorboard,
        progress=open_progress(),
        patience_s=settings.patience_s,
    )
    click.echo(f"The encoder is {folder.encoder}")
