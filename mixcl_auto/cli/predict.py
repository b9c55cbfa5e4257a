"""``mixcl_auto predict``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from mixcl_auto.cli.options import (
    OnceEach,
    Settings,
    dataset_option,
    device_option,
    fold_option,
    fraction_option,
    init_option,
    max_time_option,
    pass_settings,
    plan_option,
    seed_option,
)

if TYPE_CHECKING:
    from mixcl_auto.inference.predict import LabelFormat

FLIPS = ("x", "y", "z", "xy", "xz", "yz", "xyz")


@click.command("predict", cls=OnceEach, short_help="Segment scans with fine-tuned models.")
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
@click.option(
    "--probabilities",
    is_flag=True,
    help="Also write each organ's probability, on the scan's grid: probabilities/NAME/ORGAN.nii.gz.",
)
@click.option(
    "--preview",
    is_flag=True,
    help="Also draw three planes with the organs outlined: previews/NAME.png.",
)
@click.option(
    "--statistics",
    is_flag=True,
    help="Also write volume, extent and mean HU of each organ: statistics/NAME.json.",
)
@click.option(
    "--flips",
    type=click.Choice([*FLIPS, "none"]),
    help="Average over flips along these axes: x right-left, y anterior-posterior, z superior-inferior; n "
    "axes take 2^n times as long. [default: the plan's inference.flips]",
)
@plan_option
@dataset_option
@fold_option(multiple=True)
@click.option("--all-folds", is_flag=True, help="Instead of --fold: all folds that are trained.")
@fraction_option
@init_option
@seed_option
@device_option
@max_time_option
@pass_settings
def predict(
    settings: Settings,
    source: Path,
    output: Path,
    series: str | None,
    label_format: "LabelFormat",
    probabilities: bool,
    preview: bool,
    statistics: bool,
    flips: str | None,
    plan: str | None,
    dataset: str | None,
    folds: tuple[int, ...],
    all_folds: bool,
    fraction: float,
    init: str,
    seed: int | None,
    device: str | None,
) -> None:
    """Segment scans with a fine-tuned model, or with the mean of several folds' probabilities.

    Done scans are kept: after an interruption the same command goes on where it was, and does again what
    changed.
    """
    if all_folds and click.get_current_context().get_parameter_source("folds") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--fold names folds, --all-folds takes all of them: give one of the two")
    settings.check_plan(plan, dataset=dataset)

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
        all_folds=all_folds,
        fraction=fraction,
        init=init,
        seed=seed,
        series=series,
        label_format=label_format,
        flips="" if flips == "none" else flips,
        probabilities=probabilities,
        preview=preview,
        statistics=statistics,
        device=device,
        progress=open_progress(),
    )
    click.echo(f"{counted(len(written), 'label map')} in {output}")
