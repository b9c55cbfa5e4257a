"""``mixcl_auto finetune``."""

import click

from mixcl_auto.cli.options import (
    OnceEach,
    Settings,
    dataset_option,
    device_option,
    fold_option,
    fraction_option,
    max_time_option,
    new_init_option,
    pass_settings,
    plan_option,
    seed_option,
    set_option,
    tensorboard_option,
)


@click.command("finetune", cls=OnceEach, short_help="Fine-tune, predict and score one fold.")
@plan_option
@dataset_option
@fold_option(multiple=False)
@fraction_option
@new_init_option
@seed_option
@set_option
@device_option
@tensorboard_option
@max_time_option
@pass_settings
def finetune(
    settings: Settings,
    plan: str | None,
    dataset: str | None,
    fold: int,
    fraction: float,
    init: str,
    seed: int | None,
    edits: tuple[str, ...],
    device: str | None,
    tensorboard: bool,
) -> None:
    """Fine-tune on a fraction of one fold's training cases; predict and score its held-out cases.

    A stopped run goes on by the same command; a finished one is left as it is.
    """
    if seed is not None and any(edit.partition("=")[0].strip() == "finetune.seed" for edit in edits):
        raise click.UsageError("--seed and --set finetune.seed=... name the same field: give one of the two")
    settings.check_plan(plan, edits, dataset)

    from mixcl_auto.cli.progress_bar import open_progress
    from mixcl_auto.cli.tables import counted, print_table
    from mixcl_auto.workflows.finetune import finetune as run

    summary = run(
        settings.workspace,
        plan=plan,
        dataset=dataset,
        fold=fold,
        fraction=fraction,
        init=init,
        edits=(*edits, *([] if seed is None else [f"finetune.seed={seed}"])),
        device=device,
        tensorboard=tensorboard,
        progress=open_progress(),
        patience_s=settings.patience_s,
    )
    if not summary.scores:
        return
    rows = [*summary.dice_per_organ.items(), ("mean", summary.mean_dice)]
    print_table(f"Dice, {counted(summary.cases, 'held-out case')}", ("organ", "Dice"), rows)
    click.echo(f"The run is {summary.folder.path}")
