"""The options that several commands share, each defined once."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from mixcl_auto.cli.stopping import Duration, stop_after

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Settings:
    """What stands before the command."""

    workspace: Path
    debug: bool
    patience_s: float = 0.0
    """How long to wait for another process that works on the same run."""

    def check_plan(self, plan: str | None, edits: Iterable[str] = (), dataset: str | None = None) -> None:
        """Read the plan before PyTorch is imported, which takes seconds: a mistake in it is told at once.

        Raises:
            PlanError: if there is no such plan, or if it, an edit or the dataset's name can't be used.
        """
        from mixcl_auto.workflows.inputs import choose_target, open_project

        project = open_project(self.workspace, plan, edits)
        if dataset is not None:
            choose_target(project.plan, dataset)


class OnceEach(click.Command):
    """A command that refuses an option given twice, of which click takes the last without a word."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line."""
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for option in given:
            single = isinstance(option, click.Option) and not (option.multiple or option.is_flag)
            if single and given.count(option) > 1:
                raise click.UsageError(
                    f"{max(option.opts, key=len)} is given twice; it takes one value.", ctx
                )
        return super().parse_args(ctx, args)


class FiniteRange(click.FloatRange):
    """Numbers in a range; nan, which is in none, and infinity are refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a number."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def refuse_idle_options(context: click.Context, idle: Iterable[str], here: str) -> None:
    """Refuse options that were given and choose nothing.

    Args:
        context: of the command.
        idle: names of the parameters.
        here: where they have no meaning, such as ``with --predictions``.

    Raises:
        click.UsageError: if one was given.
    """
    given = [name for name in idle if context.get_parameter_source(name) is not ParameterSource.DEFAULT]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise click.UsageError(f"{options}: of no meaning {here}; leave it out.")


pass_settings = click.make_pass_decorator(Settings)

plan_option = click.option(
    "-p",
    "--plan",
    metavar="PLAN",
    help="The plan: a path, or a file under plans/. [default: plan.json]",
)
dataset_option = click.option(
    "-d",
    "--dataset",
    metavar="NAME",
    help="The target dataset. [default: the plan's only target]",
)
datasets_option = click.option(
    "-d",
    "--dataset",
    "datasets",
    metavar="NAME",
    multiple=True,
    help="Only this dataset; can be repeated. [default: all of raw_data/]",
)
raw_data_option = click.option(
    "--raw-data",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Datasets that lie elsewhere, such as an nnUNet_raw or one of its folders; linked into raw_data/.",
)
set_option = click.option(
    "--set",
    "edits",
    metavar="SECTION.KEY=VALUE",
    multiple=True,
    help="Change a field of the plan, such as pretrain.seed=1; can be repeated. Values are JSON or a word.",
)
device_option = click.option(
    "--device",
    metavar="DEVICE",
    help="Where to compute: cpu, cuda or cuda:1. [default: a GPU if there is one]",
)
max_time_option = click.option(
    "--max-time",
    metavar="TIME",
    type=Duration(),
    expose_value=False,
    callback=lambda context, option, seconds: stop_after(seconds) if seconds else None,
    help="Stop in order after so long, with exit code 75; the same command goes on. 90m, 11h30m or 11:30:00.",
)
tensorboard_option = click.option(
    "--tensorboard",
    is_flag=True,
    help="Also write log.csv as TensorBoard's events, into tensorboard/ of the run "
    "(pip install 'mixcl_auto[tensorboard]').",
)
new_init_option = click.option(
    "--init",
    metavar="INIT",
    default="mixcl",
    show_default=True,
    help="Initial weights: scratch (scratch-2, scratch-slow), a pre-training's name, or a weights file.",
)
init_option = click.option(
    "--init",
    metavar="INIT",
    default="mixcl",
    show_default=True,
    help="Initial weights of the run, as given to finetune.",
)
fraction_option = click.option(
    "--fraction",
    type=FiniteRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Share of the fold's training cases; 0.05 is 5 %.",
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="Seed of the run. [default: the plan's finetune.seed]",
)
jobs_option = click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Cases worked on at once. [default: the number of cores; fewer where validation or "
    "preprocessing would not fit the memory]",
)
engine_option = click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="What runs the work: this machine, or Ray (pip install 'mixcl_auto[ray]').",
)
address_option = click.option(
    "--address",
    metavar="HOST:PORT",
    help="Of a running Ray cluster; auto for the one that this machine is part of. [default: a Ray of this "
    "machine alone]",
)


def fold_option(*, multiple: bool) -> Callable[[Command], Command]:
    """``--fold``: one to train on, or several to predict with."""
    return click.option(
        "--fold",
        "folds" if multiple else "fold",
        type=click.IntRange(min=0),
        multiple=multiple,
        default=(0,) if multiple else 0,
        show_default=True,
        help="Cross-validation fold, counted from 0" + ("; repeat it for an ensemble." if multiple else "."),
    )
