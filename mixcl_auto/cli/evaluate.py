"""``mixcl_auto evaluate``."""

from pathlib import Path

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

OF_RUNS = ("fold", "fraction", "init", "seed")


@click.command("evaluate", cls=OnceEach, short_help="Score predictions against references.")
@click.option(
    "--predictions",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder of predicted label maps; needs --references.",
)
@click.option(
    "--references",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder of reference label maps of the same file names.",
)
@plan_option
@dataset_option
@fold_option(multiple=False)
@fraction_option
@init_option
@seed_option
@pass_settings
@click.pass_context
def evaluate(
    context: click.Context,
    settings: Settings,
    predictions: Path | None,
    references: Path | None,
    plan: str | None,
    dataset: str | None,
    fold: int,
    fraction: float,
    init: str,
    seed: int | None,
) -> None:
    """Score a folder of predictions against references, or a fine-tuning again.

    With --predictions and --references the scores go to scores.csv beside the predictions; organ names and
    the tolerance come from the plan: the one given, the plan.json that predict left beside the predictions,
    or plans/plan.json. Without them the fine-tuning that --dataset, --fold, --fraction, --init and --seed
    name is scored again.
    """
    if (predictions is None) != (references is None):
        raise click.UsageError("--predictions and --references go together.")
    if predictions is not None:
        refuse_idle_options(context, OF_RUNS, "with --predictions")
    else:
        settings.check_plan(plan, dataset=dataset)

    from mixcl_auto.cli.progress_bar import open_progress
    from mixcl_auto.cli.scores import print_scores
    from mixcl_auto.workflows.evaluate import evaluate_folder, evaluate_run

    if predictions is not None and references is not None:
        scores, path = evaluate_folder(
            predictions, references, settings.workspace, plan=plan, dataset=dataset, progress=open_progress()
        )
    else:
        scores, path = evaluate_run(
            settings.workspace,
            plan=plan,
            dataset=dataset,
            fold=fold,
            fraction=fraction,
            init=init,
            seed=seed,
            progress=open_progress(),
        )
    print_scores(scores)
    click.echo(f"The scores are in {path}")
