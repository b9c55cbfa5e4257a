"""``mixcl_auto predict``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mixcl_auto.cli.options import (
    Settings,
    dataset_option,
    device_option,
    fold_option,
    fraction_option,
    init_option,
    pass_settings,
    plan_option,
    seed_option,
)

if TYPE_CHECKING:
    from mixcl_auto.inference.predict import LabelFormat


@click.command("predict", short_help="Segment scans with fine-tuned models.")
@click.option(
    "-i",
    "--input",
    "source",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="An image, a DICOM series' folder, or a folder of several of either (each study is one scan).",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="The folder for the label maps, each on its scan's own grid.",
)
@click.option(
    "--series",
    metavar="UID|NUMBER",
    help="Which DICOM series of the scan, where its folder holds several. [default: the largest axial one]",
)
@click.option(
    "--format",
    "label_format",
    type=click.Choice(["nifti", "dicom-seg"]),
    default="nifti",
    show_default=True,
    help="Of the label maps; dicom-seg takes DICOM series only and needs the extra dicom.",
)
@plan_option
@dataset_option
@fold_option(multiple=True)
@fraction_option
@init_option
@seed_option
@device_option
@pass_settings
def predict(
    settings: Settings,
    source: Path,
    output: Path,
    series: str | None,
    label_format: "LabelFormat",
    plan: str | None,
    dataset: str | None,
    folds: tuple[int, ...],
    fraction: float,
    init: str,
    seed: int | None,
    device: str | None,
) -> None:
    """Segment scans with a fine-tuned model, or with the mean of several folds' probabilities."""
    from mixcl_auto.cli.progress_bar import open_progress
    from mixcl_auto.cli.tables import counted
    from mixcl_auto.workflows.predict import predict as run

    written = run(
        source,
        output,
        settings.workspace,
        plan=plan,
        dataset=dataset,
        folds=folds,
        fraction=fraction,
        init=init,
        seed=seed,
        series=series,
        label_format=label_format,
        device=device,
        progress=open_progress(),
    )
    click.echo(f"{counted(len(written), 'label map')} in {output}")
