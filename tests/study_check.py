"""``make study-check``: what a pre-training on real CT must have learnt, before any fine-tuning. By hand.

Plans the pool with the preset ``tiny``, pre-trains with MixCL (alpha = 1) and looks at the log, at a linear
probe on the target's held-out cases, and at whether the same run again gives the same bytes: two trainings
of the preset's length. ``--without label`` shows what fails when a term is missing.
"""

import argparse
import hashlib
import math
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixcl_auto.io.checkpoints import load_checkpoint
from mixcl_auto.io.workspace import PretrainFolder, Workspace
from mixcl_auto.records.plan import Plan
from mixcl_auto.training.curves import read_columns
from mixcl_auto.workflows.plan_and_preprocess import plan_and_preprocess
from mixcl_auto.workflows.pretrain import pretrain
from mixcl_auto.workflows.probe import probe

POOL = ("HN_Cord", "HN_Parotids", "HN_Jaw", "STS_Tumour")
TARGET = "HN_Organs"
PLAN, AGAIN, NAME = "study", "study_again", "mixcl"
"""The repetition has a plan file of its own, so that both encoders say the same name."""
Columns = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What must be reached."""

    label_over_chance: float = 0.8
    """At most."""
    identity_diagonal: float = 0.1
    """Below, at each of the three finest levels."""
    reconstruction: float = 0.02
    """Below."""
    probe_gain: float = 0.15
    """At least, of balanced accuracy at level 1 over that of the untrained network."""
    channel_spread: float = 0.2
    """At least, of the embeddings at the level of the label loss."""


@dataclass(frozen=True)
class Check:
    """One figure and what it must be; a figure that is not there is NaN and meets nothing."""

    name: str
    value: float
    relation: Literal["<=", "<", ">="]
    bound: float

    @property
    def is_met(self) -> bool:
        """Whether the figure is within its bound."""
        if self.relation == "<":
            return self.value < self.bound
        return self.value <= self.bound if self.relation == "<=" else self.value >= self.bound

    def __str__(self) -> str:
        verdict = "ok" if self.is_met else "FAILED"
        return f"{verdict} {self.name}: {self.value:.4g} ({self.relation} {self.bound:g})"


def late_mean(columns: Columns, name: str) -> float:
    """The mean of what a column has in the last tenth of the log; NaN where that is nothing."""
    values = columns.get(name, np.full(1, math.nan))
    late = values[-max(1, len(values) // 10) :]
    late = late[np.isfinite(late)]
    return float(late.mean()) if len(late) else math.nan


def label_check(columns: Columns, bounds: Bounds) -> Check:
    """Eq. 6 over its value with all embeddings equal, on the batches that have a positive pair."""
    known = {name: columns.get(name, np.full(1, math.nan)) for name in ("label", "label_chance")}
    paired = np.isfinite(known["label_chance"])
    late = [late_mean({name: np.where(paired, known[name], math.nan)}, name) for name in known]
    return Check("label loss over chance", late[0] / late[1], "<=", bounds.label_over_chance)


def identity_checks(columns: Columns, bounds: Bounds) -> list[Check]:
    """Whether both views of a voxel are told to be the same, at the levels with many voxels."""
    return [
        Check(
            f"identity's diagonal, level {level}",
            late_mean(columns, f"identity_diagonal_level_{level}"),
            "<",
            bounds.identity_diagonal,
        )
        for level in range(3)
    ]


def reconstruction_check(columns: Columns, bounds: Bounds) -> Check:
    """Eq. 3."""
    return Check("reconstruction error", late_mean(columns, "reconstruction"), "<", bounds.reconstruction)


def spread_check(columns: Columns, bounds: Bounds, level: int) -> Check:
    """Whether the embeddings that Eq. 6 compares have collapsed, by the last measurement of the log."""
    name = f"channel_spread_level_{level}"
    values = columns.get(name, np.zeros(0))
    known = values[np.isfinite(values)]
    value = float(known[-1]) if len(known) else math.nan
    return Check(f"spread of the embeddings, level {level}", value, ">=", bounds.channel_spread)


def log_checks(columns: Columns, bounds: Bounds, *, label_level: int) -> list[Check]:
    """Every check that needs the log alone."""
    return [
        label_check(columns, bounds),
        *identity_checks(columns, bounds),
        reconstruction_check(columns, bounds),
        spread_check(columns, bounds, label_level),
    ]


def probe_check(trained: float | None, untrained: float | None, bounds: Bounds) -> Check:
    """What pre-training adds to the balanced accuracy of a linear classifier on level 1's frozen map."""
    gain = math.nan if trained is None or untrained is None else trained - untrained
    return Check("linear probe of level 1, above untrained", gain, ">=", bounds.probe_gain)


@dataclass(frozen=True)
class Trace:
    """What a run left, as hashes: its log, and its encoder's file, or its network where it was stopped."""

    log: str
    weights: str


def trace(folder: PretrainFolder) -> Trace:
    """Of a run that is finished or stopped."""
    digest = hashlib.sha256()
    if folder.encoder.is_file():
        digest.update(folder.encoder.read_bytes())
    else:
        state = load_checkpoint(folder.checkpoint)
        assert state is not None, folder.checkpoint
        for name, tensor in sorted(state["network"].items()):
            digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return Trace(hashlib.sha256(folder.log.read_bytes()).hexdigest(), digest.hexdigest())


def repeat_checks(first: Trace, again: Trace) -> list[Check]:
    """Whether two runs are the same to the byte."""
    return [
        Check(f"repeated run, {name} the same", float(same), ">=", 1)
        for name, same in (("log", first.log == again.log), ("encoder", first.weights == again.weights))
    ]


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is pre-trained, and on what."""

    raw_data: Path
    pool: Sequence[str] = POOL
    target: str = TARGET
    spacing: tuple[float, float, float] | Literal["auto"] = "auto"
    edits: Sequence[str] = ()
    bounds: Bounds = Bounds()
    repeat_steps: int | None = None
    """Steps that the repetition repeats; all of them if absent."""
    device: str | None = None


def prepare(study: Study, folder: Path) -> tuple[Workspace, Plan]:
    """Plan and preprocess; the plan's copy is for the repetition."""
    workspace = Workspace(folder)
    plan = plan_and_preprocess(
        workspace,
        raw_data=study.raw_data,
        datasets=(*study.pool, study.target),
        preset="tiny",
        name=PLAN,
        spacing=study.spacing,
        pretrain=study.pool,
        target=(study.target,),
        edits=study.edits,
    ).plan
    shutil.copyfile(workspace.plan(PLAN), workspace.plan(AGAIN))
    return workspace, plan


def train_and_repeat(study: Study, workspace: Workspace) -> tuple[PretrainFolder, list[Check]]:
    """A whole run, and the checks of its repetition, or of that of its first steps."""

    def run(plan: str, stop_after: int | None) -> PretrainFolder:
        return pretrain(workspace, plan=f"{plan}.json", name=NAME, device=study.device, stop_after=stop_after)

    traces = [trace(run(plan, study.repeat_steps)) for plan in (PLAN, AGAIN)]
    return run(PLAN, None), repeat_checks(*traces)


def study_checks(study: Study, folder: Path) -> list[Check]:
    """Do it all in a workspace of its own."""
    workspace, plan = prepare(study, folder)
    trained, repeated = train_and_repeat(study, workspace)
    columns = read_columns(trained.log)
    found = log_checks(columns, study.bounds, label_level=min(plan.pretrain.label_level))
    untrained, encoder = probe(
        workspace, plan=f"{PLAN}.json", inits=(NAME,), dataset=study.target, device=study.device
    )
    accuracies = [result.level(1).balanced_accuracy for result in (encoder, untrained)]
    return [*found, probe_check(accuracies[0], accuracies[1], study.bounds), *repeated]


def main() -> int:
    """Print a line for each check; 1 if one fails."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--raw-data", type=Path, default=Path("../shared/data/raw_data"))
    parser.add_argument("--folder", type=Path, help="where to work [default: a temporary folder]")
    parser.add_argument("--iterations", type=int, help="[default: the preset's]")
    parser.add_argument("--repeat-steps", type=int, help="repeat no more than these [default: all]")
    parser.add_argument("--without", choices=("identity", "label", "reconstruction"))
    parser.add_argument("--device")
    wanted = parser.parse_args()
    edits = ["pretrain.label_weight=1.0"]
    edits += [f"pretrain.iterations={wanted.iterations}"] if wanted.iterations else []
    edits += [f'pretrain.without=["{wanted.without}"]'] if wanted.without else []
    study = Study(
        raw_data=wanted.raw_data.resolve(),
        edits=edits,
        repeat_steps=wanted.repeat_steps,
        device=wanted.device,
    )
    folder = (wanted.folder or Path(tempfile.mkdtemp(prefix="study_check_"))).resolve()
    print(f"working in {folder}", flush=True)
    checks = study_checks(study, folder)
    print(*checks, sep="\n")
    sound = all(check.is_met for check in checks)
    if sound and wanted.folder is None:
        shutil.rmtree(folder)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
