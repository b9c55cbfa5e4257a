"""``mixcl_auto probe``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from mixcl_auto.cli.options import (
    OnceEach,
    Settings,
    dataset_option,
    device_option,
    fold_option,
    pass_settings,
    plan_option,
)

if TYPE_CHECKING:
    from mixcl_auto.records.probe import LevelProbe, ProbedClass, ProbeResult


@click.command("probe", cls=OnceEach, short_help="Measure what frozen encoders know of the organs.")
@plan_option
@click.option(
    "--name",
    "inits",
    metavar="INIT",
    multiple=True,
    help="A pre-training, or a weights file; can be repeated.  [default: all finished pre-trainings]",
)
@dataset_option
@fold_option(multiple=False)
@click.option(
    "--patches",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Patches of a case that show each of its organs, and as many anywhere in the scan.",
)
@device_option
@pass_settings
def probe(
    settings: Settings,
    plan: str | None,
    inits: tuple[str, ...],
    dataset: str | None,
    fold: int,
    patches: int,
    device: str | None,
) -> None:
    """Measure what a linear classifier reads out of frozen encoders, without fine-tuning.

    At each level of the encoder it tells the organ at a voxel from the map's channels there; it is fitted on
    the fold's training cases and tested on the held-out ones. The network with random weights is measured
    beside the pre-trained ones.
    """
    settings.check_plan(plan, dataset=dataset)

    from mixcl_auto.cli.progress_bar import open_progress
    from mixcl_auto.workflows.probe import probe as run

    results = run(
        settings.workspace,
        plan=plan,
        inits=inits,
        dataset=dataset,
        fold=fold,
        patches=patches,
        device=device,
        progress=open_progress(),
    )
    print_probes(results)


def print_probes(results: "Sequence[ProbeResult]") -> None:
    """Two tables: what is recognised and what the channels' variance is of, and the recall of each class."""
    from mixcl_auto.cli.tables import counted, print_table

    levels = [(result, level) for result in results for level in result.levels]
    first = results[0]
    cases = counted(len(first.held_out_cases), "held-out case")
    columns = (
        "init",
        "level",
        "balanced accuracy",
        "chance",
        "effective rank",
        "of channels",
        "spread",
        "place",
    )
    print_table(
        f"Linear probe, {first.dataset}, fold {first.fold}, {cases}",
        (*columns, "training voxels", "held-out voxels"),
        [(result.init, level.level, *_figures(level)) for result, level in levels],
    )
    names = [one.name for one in first.levels[0].classes]
    print_table(
        "Recall of each class (of so many held-out voxels)",
        ("init", "level", *names),
        [(result.init, level.level, *(_recall(one) for one in level.classes)) for result, level in levels],
    )


def _figures(level: "LevelProbe") -> tuple[object, ...]:
    return (
        _rounded(level.balanced_accuracy, 3),
        _rounded(level.chance, 3),
        _rounded(level.effective_rank, 1),
        _rounded(level.effective_rank_share, 3),
        _rounded(level.channel_spread, 3),
        _rounded(level.position_share, 3),
        level.training_voxels,
        level.held_out_voxels,
    )


def _recall(found: "ProbedClass") -> str | None:
    return None if found.recall is None else f"{found.recall:.3f} ({found.held_out_voxels})"


def _rounded(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"
