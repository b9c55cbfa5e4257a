"""Units of an experiment whose runs are written by hand, and an engine that only pretends."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixcl_auto.engines.engine import Engine, Outcome, Resources, Task
from mixcl_auto.errors import RunError
from mixcl_auto.io.files import write_text
from mixcl_auto.io.scores import write_scores
from mixcl_auto.io.workspace import FinetuneFolder, PretrainFolder
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.run import Environment, FinetuneRun, PretrainRun
from mixcl_auto.records.score import OrganScore
from mixcl_auto.workflows.experiment_units import GridUnit

ENVIRONMENT = Environment(mixcl_auto="0", torch="0", python="3.11", device="cpu", precision="fp32", threads=1)


def pretraining(root: Path, name: str = "mixcl", *, steps: int = 100, threads: int = 1) -> GridUnit:
    return GridUnit(
        f"pre-training {name}",
        PretrainFolder(root / "pretrain" / name),
        ("pretrain",),
        steps,
        threads,
        (f"pre-training {name}",),
    )


def finetuning(
    root: Path, number: int, *, init: str = "scratch", steps: int = 100, needs: str | None = None
) -> GridUnit:
    return GridUnit(
        f"T, {init}, fold {number}",
        FinetuneFolder(root / "finetune" / init / str(number)),
        ("finetune",),
        steps,
        1,
        ("T", init, "5 %"),
        f"fold {number}",
        needs,
    )


def start(unit: GridUnit, steps: int = 0, seconds: float = 0.5) -> None:
    """Leave what a run leaves that was stopped half-way."""
    folder = unit.folder
    write_text(folder.log, "step,loss\n" + "".join(f"{step},0.5\n" for step in range(1, steps + 1)))
    rows = "".join(f"{step},{seconds},1,0,0\n" for step in range(10, steps + 1, 10))
    write_text(folder.timing, "step,seconds,samples_per_second,waiting_share,peak_memory_mb\n" + rows)
    write_text(folder.run, _record(unit, "running").to_json())


def finish(unit: GridUnit) -> None:
    """Leave what a finished run leaves."""
    write_text(unit.folder.run, _record(unit, "finished").to_json())
    if isinstance(unit.folder, PretrainFolder):
        write_text(unit.folder.encoder, "weights")
        return
    score = OrganScore(
        case="a",
        patient="a",
        organ="liver",
        label=1,
        dice=0.5,
        dice_resampled=0.5,
        hd95_mm=1.0,
        surface_dice=0.5,
        reference_voxels=1,
        prediction_voxels=1,
    )
    write_scores(unit.folder.scores, [score])


def _record(unit: GridUnit, status: Any) -> PretrainRun | FinetuneRun:
    shared: dict[str, Any] = {
        "plan": Plan(),
        "status": status,
        "environment": ENVIRONMENT,
        "parameters": 1,
        "iterations": unit.steps,
    }
    if unit.is_pretraining:
        return PretrainRun(name=unit.folder.path.name, **shared)
    return FinetuneRun(
        dataset="T",
        init="scratch",
        fraction=0.05,
        fold=0,
        seed=0,
        weights=None,
        training_cases=("b",),
        held_out_cases=("a",),
        **shared,
    )


@dataclass(frozen=True)
class FakeTask:
    """Stands for a unit's command."""

    name: str

    def run(self) -> None:
        raise NotImplementedError


@dataclass
class FakeEngine(Engine):
    """Ends the task that was submitted first at every wait, as ``effect`` says."""

    effect: Callable[[str], Exception | None]
    cores: int = 2
    in_flight: list[Task[Any]] = field(default_factory=list)
    submitted: list[str] = field(default_factory=list)
    most_at_once: int = 0
    closed: bool = False

    def submit(self, task: Task[Any], resources: Resources) -> None:
        self.in_flight.append(task)
        self.submitted.append(task.name)
        self.most_at_once = max(self.most_at_once, len(self.in_flight))

    def wait(self, seconds: float | None = None) -> Outcome[Any, Any] | None:
        if not self.in_flight:
            return None
        task = self.in_flight.pop(0)
        return Outcome(task, error=self.effect(task.name))

    def close(self, patience_s: float = 30.0) -> None:
        self.closed = True

    def capacity(self, resources: Resources) -> int:
        if resources.gpus:
            raise RunError("no GPU here")
        return max(1, self.cores // resources.cpus)
