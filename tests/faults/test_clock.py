"""No result depends on the clock or on the files' times."""

import itertools
import os
import time
from pathlib import Path

import pytest
from commands import FINETUNE, contents, plan_command, succeed
from event_points import logged_points, read_points

import mixcl_auto
from mixcl_auto.io.workspace import RunFolder, Workspace
from mixcl_auto.training.event_file import EventFile
from mixcl_auto.training.run_log import StepTable

IN_2100 = 4_102_444_800.0


@pytest.fixture
def backward_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """From 2100 on the time goes back by an hour whenever somebody asks for it."""
    hours = itertools.count()
    monkeypatch.setattr(time, "time", lambda: IN_2100 - 3600.0 * next(hours))
    monkeypatch.setattr(time, "time_ns", lambda: int(time.time() * 1e9))


def shift_times(folder: Path) -> None:
    """Every other file is from 2100, the rest from 1980."""
    for number, path in enumerate(sorted(folder.rglob("*"))):
        if not path.is_symlink():
            moment = IN_2100 if number % 2 else 315_532_800.0
            os.utime(path, (moment, moment))


@pytest.mark.usefixtures("backward_clock")
def test_stopped_work_goes_on_the_same_whatever_the_clock_says(
    workspace: Workspace, trained: Workspace, tiny_edits: tuple[str, ...]
) -> None:
    reference = trained.pretrain("plan", "mixcl")
    shift_times(workspace.root)
    succeed(workspace, *plan_command(tiny_edits))
    assert contents(workspace.preprocessed) == contents(trained.preprocessed)
    for stop_after in (2, None):
        folder = mixcl_auto.pretrain(
            workspace, name="again", device="cpu", stop_after=stop_after, tensorboard=True
        )
        shift_times(folder.path)
    assert folder.log.read_bytes() == reference.log.read_bytes()
    assert read_points(folder.events) == logged_points(folder.log)
    finetuned = workspace.finetune("plan", "Target_Abdomen", "mixcl", 1.0, 0, 0)
    finetuned.scores.unlink()
    finetuned.prediction_record.unlink()
    succeed(workspace, *FINETUNE)
    patterns = ("finetune/**/*.nii.gz", "finetune/**/scores.csv", "finetune/**/*.safetensors")
    results = (one.plan_results("plan") for one in (workspace, trained))
    found, expected = (contents(folder, patterns) for folder in results)
    assert found == expected
    assert len(found) >= 4


def test_events_of_a_later_start_come_later_though_the_clock_went_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(tmp_path)
    StepTable(folder.log).append([{"step": 1, "loss": 0.5}])
    names = []
    for moment in (IN_2100, 1e9, 1e9, 2e9, IN_2100 + 1):
        monkeypatch.setattr(time, "time", lambda moment=moment: moment)
        events = EventFile(folder.log, folder.events)
        events.close()
        names.append(events.path.name)
    assert names == sorted(set(names))
    assert read_points(folder.events) == logged_points(folder.log)
