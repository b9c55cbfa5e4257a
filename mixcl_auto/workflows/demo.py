"""Every stage on computed phantoms, within minutes on a CPU."""

import csv
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mixcl_auto.finetuning.finetune import finetune as train_segmenter
from mixcl_auto.io.plans import read_plan
from mixcl_auto.io.workspace import ReportFolder, Workspace
from mixcl_auto.pretraining.pretrain import pretrain as train_encoder
from mixcl_auto.progress import Progress
from mixcl_auto.records.plan import Plan
from mixcl_auto.workflows.finetune import finetune
from mixcl_auto.workflows.phantom_datasets import DEMO_DATASETS, write_phantom_datasets
from mixcl_auto.workflows.plan_and_preprocess import plan_and_preprocess
from mixcl_auto.workflows.pretrain import pretrain
from mixcl_auto.workflows.probe import probe
from mixcl_auto.workflows.report import report

logger = logging.getLogger(__name__)

WHAT_IT_SHOWS = """\
This demo computes phantom CT scans, pre-trains a small network with MixCL on three datasets that annotate
different organs, fine-tunes it on 2 and on 8 labelled cases of a fourth one, beside the same network from
two draws of random weights, and scores all on 4 held-out cases. It shows that every stage works and what
results look like. It shows nothing about patients; and with one fold, one seed and minutes of training a
difference from scratch may be chance: how much that does, scratch-2 minus scratch gives an idea of.
"""

SPACING_MM = (6.0, 6.0, 6.0)
"""Coarse, so that a small patch sees enough of the body to tell left from right."""
FRACTIONS = (0.125, 0.5)
INITS = ("scratch", "scratch-2", "mixcl")
FOLD = 0
EDITS = (
    "experiment.fractions=[0.125,0.5]",
    "experiment.folds=[0]",
    'experiment.inits=["scratch","scratch-2","mixcl"]',
    "pretrain.gradient_every=25",
    "pretrain.batch_size=4",
    "finetune.transferred_rate=1.0",
)
"""The preset's batch and low rate of transferred weights were chosen with pre-trainings longer than these."""

TRIAL = "trial"
TRIAL_STEPS = 20
PRETRAIN_SHARE = 0.4
"""Of the training time; the rest is shared by the fine-tunings."""
FEWEST_STEPS, MOST_STEPS = 100, 2000


@dataclass(frozen=True)
class StepSeconds:
    """What a step takes on this machine, in seconds."""

    pretrain: float
    finetune: float


def demo(
    folder: str | Path = "demo_workspace",
    *,
    minutes: float = 5.0,
    progress: Progress | None = None,
    say: Callable[[str], None] = logger.info,
) -> ReportFolder:
    """Make phantoms, plan, preprocess, pre-train, probe, fine-tune, report.

    The numbers of steps are chosen from step times measured here, and written into the plan; another call in
    the same folder uses that plan and goes on where the work was.

    Args:
        folder: the workspace to make.
        minutes: about how long to train in all.
        progress: told of every step and case.
        say: told of each stage in a line.

    Returns:
        The report.
    """
    workspace = Workspace(Path(folder))
    make_datasets(workspace, progress)
    if not workspace.plan("plan").is_file():
        say("Checking, planning and preprocessing; measuring a step's time.")
        _prepare(workspace, minutes, progress)
    plan = read_plan(workspace.plan("plan"))
    say(
        f"Pre-training for {plan.pretrain.iterations} steps, each fine-tuning for {plan.finetune.iterations}."
    )
    pretrain(workspace, progress=progress)
    probe(workspace, fold=FOLD, progress=progress)
    for fraction in FRACTIONS:
        for init in INITS:
            done = finetune(workspace, fold=FOLD, fraction=fraction, init=init, progress=progress)
            dice = "undefined" if done.mean_dice is None else f"{done.mean_dice:.3f}"
            say(f"{init} with {fraction:.1%} of the labels: mean Dice {dice} on {done.cases} held-out cases.")
    return report(workspace)


def make_datasets(workspace: Workspace, progress: Progress | None = None) -> None:
    """Write the phantom datasets, unless they are all there; a dataset's ``dataset.json`` is written last."""
    descriptions = [workspace.raw_data / dataset.name / "dataset.json" for dataset in DEMO_DATASETS]
    if not all(description.is_file() for description in descriptions):
        write_phantom_datasets(workspace.raw_data, progress=progress)


def _prepare(workspace: Workspace, minutes: float, progress: Progress | None) -> None:
    """Fill the cache under a plan of its own, measure, and write the plan with the steps that fit."""
    trial = plan_and_preprocess(
        workspace, preset="tiny", name=TRIAL, spacing=SPACING_MM, edits=EDITS, progress=progress
    )
    if trial.failures:
        raise RuntimeError(f"phantoms that can't be preprocessed: {trial.failures}")
    seconds = measure_steps(workspace, trial.plan)
    pretrain_steps, finetune_steps = budget_steps(seconds, minutes)
    steps = (f"pretrain.iterations={pretrain_steps}", f"finetune.iterations={finetune_steps}")
    plan_and_preprocess(
        workspace, preset="tiny", spacing=SPACING_MM, edits=(*EDITS, *steps), progress=progress
    )
    workspace.plan(TRIAL).unlink()


def measure_steps(workspace: Workspace, plan: Plan) -> StepSeconds:
    """Train for some steps and take the later ones' time; what that left is removed."""
    target = plan.targets[0].name
    first = train_encoder(workspace, plan, TRIAL, stop_after=TRIAL_STEPS)
    second = train_segmenter(
        workspace,
        plan,
        TRIAL,
        dataset=target,
        fold=FOLD,
        fraction=FRACTIONS[0],
        init="scratch",
        stop_at=TRIAL_STEPS,
    )
    seconds = StepSeconds(last_seconds(first.timing), last_seconds(second.timing))
    shutil.rmtree(workspace.plan_results(TRIAL))
    return seconds


def last_seconds(timing: Path) -> float:
    """Mean seconds per step in a ``timing.csv``, without its first row, which includes the start."""
    with timing.open(encoding="utf-8", newline="") as file:
        rows = [float(row["seconds"]) for row in csv.DictReader(file)]
    later = rows[1:] or rows
    return sum(later) / len(later)


def budget_steps(seconds: StepSeconds, minutes: float) -> tuple[int, int]:
    """How many steps of pre-training, and of each fine-tuning, fit; rounded to tens, within sane bounds."""
    total = 60 * minutes
    runs = len(FRACTIONS) * len(INITS)
    return (
        _round_steps(PRETRAIN_SHARE * total / seconds.pretrain),
        _round_steps((1 - PRETRAIN_SHARE) * total / runs / seconds.finetune),
    )


def _round_steps(steps: float) -> int:
    return min(MOST_STEPS, max(FEWEST_STEPS, 10 * round(steps / 10)))
