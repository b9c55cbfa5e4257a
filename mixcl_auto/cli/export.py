"""``mixcl_auto export``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mixcl_auto.cli.options import (
    OnceEach,
    Settings,
    dataset_option,
    fold_option,
    fraction_option,
    init_option,
    pass_settings,
    plan_option,
    refuse_idle_options,
    seed_option,
)

if TYPE_CHECKING:
    from mixcl_auto.exporting.config import Kind

OF_ENCODERS = ("name",)
OF_SEGMENTERS = ("dataset", "fold", "fraction", "init", "seed")


@click.command("export", cls=OnceEach, short_help="Write a model for use elsewhere.")
@click.argument("kind", type=click.Choice(["encoder", "segmenter", "bundle", "onnx"]))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="A new or empty folder.",
)
@click.option(
    "--name",
    metavar="NAME",
    default="mixcl",
    show_default=True,
    help="Which pre-training; for encoder alone.",
)
@plan_option
@dataset_option
@fold_option(multiple=False)
@fraction_option
@init_option
@seed_option
@click.option("--force", is_flag=True, help="Replace an export of the same kind.")
@pass_settings
@click.pass_context
def export(
    context: click.Context,
    settings: Settings,
    kind: "Kind",
    output: Path,
    name: str,
    plan: str | None,
    dataset: str | None,
    fold: int,
    fraction: float,
    init: str,
    seed: int | None,
    force: bool,
) -> None:
    """Write a pre-trained encoder, or a fine-tuned segmenter, for other software: docs/export.md.

    KIND is encoder or segmenter (safetensors under MONAI's names with a config.json), bundle (of MONAI) or
    onnx (needs the extra export). All but encoder take the model that --dataset, --fold, --fraction, --init
    and --seed name.
    """
    refuse_idle_options(context, OF_SEGMENTERS if kind == "encoder" else OF_ENCODERS, f"for {kind}")
    settings.check_plan(plan, dataset=dataset)

    from mixcl_auto.cli.tables import counted
    from mixcl_auto.workflows.export import export as run

    written = run(
        kind,
        output,
        settings.workspace,
        plan=plan,
        name=name,
        dataset=dataset,
        fold=fold,
        fraction=fraction,
        init=init,
        seed=seed,
        force=force,
    )
    click.echo(f"{counted(len(written), 'file')} in {output}")
