"""``mixcl_auto benchmark``."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from mixcl_auto.cli.options import (
    OnceEach,
    Settings,
    dataset_option,
    device_option,
    pass_settings,
    plan_option,
    set_option,
)

if TYPE_CHECKING:
    from mixcl_auto.workflows.benchmark_figures import StageFigures


@click.command("benchmark", cls=OnceEach, short_help="Measure what limits training under a plan.")
@plan_option
@click.option(
    "--stage",
    type=click.Choice(["pretrain", "finetune", "both"]),
    default="both",
    show_default=True,
    help="What to measure.",
)
@dataset_option
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Steps of the short run; the parts of a step are measured half as often.",
)
@set_option
@device_option
@click.option(
    "--json",
    "json_file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write all figures to this file.",
)
@pass_settings
def benchmark(
    settings: Settings,
    plan: str | None,
    stage: Literal["pretrain", "finetune", "both"],
    dataset: str | None,
    steps: int,
    edits: tuple[str, ...],
    device: str | None,
    json_file: Path | None,
) -> None:
    """Measure what limits training under a plan on this machine, on the plan's own cache.

    Measures the loader, the network, the losses and the optimiser apart, then a short run of them together,
    and says which of them is the limit. No run is begun or changed.
    """
    settings.check_plan(plan, edits)

    from mixcl_auto.cli.progress_bar import open_progress
    from mixcl_auto.io.files import write_text
    from mixcl_auto.workflows.benchmark import benchmark as run

    measured = run(
        settings.workspace,
        plan=plan,
        stage=stage,
        dataset=dataset,
        steps=steps,
        edits=edits,
        device=device,
        progress=open_progress(),
    )
    for figures in measured:
        _print_figures(figures)
    if json_file is not None:
        write_text(json_file, _document(measured))


def _print_figures(figures: "StageFigures") -> None:
    """A table of one trainer, and under it what limits it."""
    from mixcl_auto.cli.tables import counted, print_table
    from mixcl_auto.workflows.benchmark_advice import advice

    title = (
        f"{figures.stage} on {figures.data}, {counted(figures.cases, 'case')}; {figures.device}, "
        f"{figures.precision}, {counted(figures.threads, 'thread')}, {counted(figures.workers, 'worker')}, "
        f"batch {figures.batch_size}"
    )
    print_table(title, ("", "measured", "of a step", ""), [*_part_rows(figures), *_run_rows(figures)])
    click.echo(advice(figures))
    click.echo()


def _document(measured: Sequence["StageFigures"]) -> str:
    """All figures and the advice, as JSON."""
    from mixcl_auto.workflows.benchmark_advice import advice

    stages = [{**figures.to_json(), "advice": advice(figures)} for figures in measured]
    return json.dumps({"stages": stages}, indent=2) + "\n"


def _part_rows(figures: "StageFigures") -> list[tuple[str, str, str, str]]:
    """The loader, then the parts of a step whose batch is there."""
    from mixcl_auto.workflows.benchmark_advice import losses_name

    share = {name: f"{value:.1%}" for name, value in figures.shares().items()}
    patches = "1 patch" if figures.patches == 1 else f"{figures.patches} patches"
    step = f"{figures.step_over_network:.2f} times the network"
    computing = f"in one process, {seconds_text(figures.sample_cpu_s)} of it computing"
    rows = [
        ("loader, per sample", seconds_text(figures.sample_s), "", computing),
        ("loader, at most", rate_text(figures.loader_samples_per_s), "", "with the plan's workers"),
        ("workers needed", str(figures.workers_needed), "", "so that the network never waits"),
        ("network", seconds_text(figures.network_s), share["network"], f"{patches}, forward and backward"),
        (losses_name(figures.stage), seconds_text(figures.losses_s), share["losses"], ""),
        ("step without optimiser", seconds_text(figures.step_s), "", step),
        ("optimiser", seconds_text(figures.optimiser_s), share["optimiser"], "gradient norm and AdamW"),
    ]
    if figures.gradient_every:
        often = f"on average; {seconds_text(figures.gradients_s)} every {figures.gradient_every} steps"
        rows.append(
            ("gradient shares", seconds_text(figures.gradients_per_step_s), share["gradients"], often)
        )
    return rows


def _run_rows(figures: "StageFigures") -> list[tuple[str, str, str, str]]:
    """The short run, and what the planned one would take."""
    from mixcl_auto.cli.progress_bar import duration

    run = f"{figures.run_steps} steps, {rate_text(figures.run_samples_per_s)}"
    whose = "of this process so far" if figures.device == "cpu" else "of torch on the GPU"
    return [
        ("run, per step", seconds_text(figures.run_step_s), "", run),
        ("waiting for the loader", f"{figures.waiting_share:.1%}", "", "of the run"),
        ("peak memory", f"{figures.peak_memory_mb:.0f} MB", "", whose),
        ("the whole run", duration(figures.planned_s), "", f"{figures.iterations} steps"),
    ]


def seconds_text(seconds: float) -> str:
    """Such as ``1.23 s`` or ``45.6 ms``."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def rate_text(samples_per_s: float) -> str:
    """Such as ``2.27 samples/s`` or ``1090 samples/s``."""
    return f"{samples_per_s:.0f} samples/s" if samples_per_s >= 100 else f"{samples_per_s:.3g} samples/s"
