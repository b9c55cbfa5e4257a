"""``mixcl_auto pretrain``."""

from typing import TYPE_CHECKING

import click

from mixcl_auto.cli.options import Settings, device_option, pass_settings, plan_option, set_option

if TYPE_CHECKING:
    from mixcl_auto.records.plan import Term


@click.command("pretrain", short_help="Pre-train the encoder with MixCL.")
@plan_option
@click.option(
    "--name",
    metavar="NAME",
    default="mixcl",
    show_default=True,
    help="What finetune --init calls this pre-training.",
)
@click.option(
    "--without",
    type=click.Choice(["identity", "label", "reconstruction"]),
    multiple=True,
    help="Leave a term of the loss out (Table 2); can be repeated. Give such a run its own --name.",
)
@set_option
@device_option
@pass_settings
def pretrain(
    settings: Settings,
    plan: str | None,
    name: str,
    without: "tuple[Term, ...]",
    edits: tuple[str, ...],
    device: str | None,
) -> None:
    """Pre-train the encoder with MixCL on the pool.

    A stopped run goes on by the same command; a finished one is left as it is.
    """
    from mixcl_auto.cli.progress_bar import open_progress
    from mixcl_auto.workflows.pretrain import pretrain as run

    folder = run(
        settings.workspace,
        plan=plan,
        name=name,
        without=without,
        edits=edits,
        device=device,
        progress=open_progress(),
    )
    click.echo(f"The encoder is {folder.encoder}")
