"""TensorBoard beside log.csv, through whole runs that are stopped, killed and resumed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from event_points import logged_points, read_points

import mixcl_auto
from mixcl_auto.distributed.ranks import Ranks
from mixcl_auto.errors import RunError
from mixcl_auto.io.workspace import Workspace, previous_checkpoint
from mixcl_auto.workflows import pretrain as workflow
from mixcl_auto.workflows.experiment import experiment_commands

EDITS = ("pretrain.checkpoint_every=2",)


def pretrain(workspace: Workspace, name: str, **options: Any) -> Path:
    return mixcl_auto.pretrain(workspace, name=name, edits=EDITS, device="cpu", **options).path


def test_events_follow_a_run_that_is_stopped_killed_and_resumed(fresh_planned_workspace: Workspace) -> None:
    workspace = fresh_planned_workspace
    plain = pretrain(workspace, "plain")
    assert not (plain / "tensorboard").exists()
    run = pretrain(workspace, "watched", tensorboard=True, stop_after=3)
    assert read_points(run / "tensorboard")["total"].keys() == {1, 2, 3}
    # Killed after step 3, the run would have left the checkpoint of step 2 and events that are newer.
    previous_checkpoint(run / "checkpoint.pt").replace(run / "checkpoint.pt")
    pretrain(workspace, "watched", tensorboard=True)
    points = read_points(run / "tensorboard")
    assert points["total"].keys() == {1, 2, 3, 4}
    assert len(points) == len((run / "log.csv").read_text().split("\n", 1)[0].split(",")) - 3
    # neither the step nor the share skipped at levels 0 and 4, which are no label levels, has points
    assert points == logged_points(run / "log.csv")
    assert (run / "log.csv").read_bytes() == (plain / "log.csv").read_bytes()
    assert tensors_of(run) == tensors_of(plain)


def tensors_of(run: Path) -> dict[str, list[float]]:
    from safetensors.torch import load_file

    return {name: value.flatten().tolist() for name, value in load_file(run / "encoder.safetensors").items()}


def test_finished_fine_tuning_gets_events_when_asked_again(fresh_planned_workspace: Workspace) -> None:
    workspace = fresh_planned_workspace
    folder = mixcl_auto.finetune(workspace, init="scratch", device="cpu").folder
    assert not folder.events.exists()
    log = folder.log.read_bytes()
    mixcl_auto.finetune(workspace, init="scratch", device="cpu", tensorboard=True)
    assert read_points(folder.events)["loss"].keys() == set(range(1, 7))
    assert read_points(folder.events) == logged_points(folder.log)
    assert folder.log.read_bytes() == log


def test_only_the_first_process_writes(
    fresh_planned_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []

    @contextmanager
    def second_of_two(device: str | None) -> Iterator[tuple[Ranks, torch.device]]:
        yield Ranks(number=1, count=2), torch.device("cpu")

    monkeypatch.setattr(workflow, "training_ranks", second_of_two)
    monkeypatch.setattr(workflow, "train", lambda *_, **options: told.append(options["progress"]))
    mixcl_auto.pretrain(fresh_planned_workspace, tensorboard=True)
    assert told == [None]
    assert not fresh_planned_workspace.pretrain("plan", "mixcl").events.exists()


def test_missing_package_stops_every_command_before_it_starts(
    fresh_planned_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.record_writer", None)
    for command in (mixcl_auto.pretrain, mixcl_auto.finetune, mixcl_auto.experiment):
        with pytest.raises(RunError, match=r"mixcl_auto\[tensorboard\]"):
            command(fresh_planned_workspace, tensorboard=True)
    assert not list(fresh_planned_workspace.results.rglob("*"))


def test_an_experiment_hands_the_wish_to_its_runs(fresh_planned_workspace: Workspace) -> None:
    _, commands = experiment_commands(fresh_planned_workspace, tensorboard=True)
    assert commands
    assert all(line.split().count("--tensorboard") == 1 for line in commands)
    _, plain = experiment_commands(fresh_planned_workspace)
    assert not any("--tensorboard" in line for line in plain)
