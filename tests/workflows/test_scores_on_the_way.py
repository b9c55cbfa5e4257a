"""A fine-tuning whose held-out fold is scored at steps on the way."""

import json
import logging
import os
import shutil
from pathlib import Path

import pytest
import torch

import mixcl_auto
from mixcl_auto.errors import RunError
from mixcl_auto.evaluation.score import score_held_out, score_run
from mixcl_auto.finetuning.finetune import finetune as train
from mixcl_auto.inference.predict import predict_cached, predict_held_out
from mixcl_auto.inference.predictor import load_predictor
from mixcl_auto.io.checkpoints import load_checkpoint, load_weights, save_weights
from mixcl_auto.io.files import write_text
from mixcl_auto.io.runs import read_finetune_run
from mixcl_auto.io.scores import read_scores
from mixcl_auto.io.workspace import FinetuneFolder, Workspace
from mixcl_auto.workflows import scores_on_the_way

TARGET = "Target_Abdomen"
STEPS = (2, 4)
ON_THE_WAY = "finetune.score_at=[2,4]"
# At this rate the few steps change what the network predicts.
FAST = "finetune.learning_rate=0.01"


class Killed(BaseException):
    """The end of a process."""


def folder_of(workspace: Workspace) -> FinetuneFolder:
    return workspace.finetune("plan", TARGET, "scratch", 1.0, 0, 0)


def finetune(workspace: Workspace, *edits: str) -> FinetuneFolder:
    mixcl_auto.finetune(workspace, init="scratch", edits=[FAST, *edits], device="cpu")
    return folder_of(workspace)


def contents(folder: FinetuneFolder) -> dict[str, bytes]:
    """The tables of scores, the log and the predictions of a run."""
    files = [*folder.path.glob("*scores*"), folder.log, *folder.predictions.rglob("*.nii.gz")]
    return {str(file.relative_to(folder.path)): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def plain(planned_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> FinetuneFolder:
    return finetune(copied(planned_workspace, tmp_path_factory.mktemp("plain")))


@pytest.fixture(scope="module")
def scored(planned_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> FinetuneFolder:
    return finetune(copied(planned_workspace, tmp_path_factory.mktemp("scored")), ON_THE_WAY)


def copied(workspace: Workspace, folder: Path) -> Workspace:
    shutil.copytree(workspace.root, folder / "planned", symlinks=True)
    return Workspace(folder / "planned")


def test_the_run_is_the_same_to_the_bit_as_without_pauses(
    plain: FinetuneFolder, scored: FinetuneFolder
) -> None:
    found = contents(scored)
    tables = {name: found.pop(name) for name in list(found) if name.startswith("scores_at_")}
    assert tables.keys() == {"scores_at_2.csv", "scores_at_4.csv"}
    assert found == contents(plain)
    one, two = load_weights(plain.weights), load_weights(scored.weights)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_scores_on_the_way_are_those_of_the_weights_after_the_step(
    scored: FinetuneFolder, fresh_planned_workspace: Workspace
) -> None:
    """A run of its own, stopped at the step, whose weights are then predicted and scored as final ones."""
    workspace, run = fresh_planned_workspace, read_finetune_run(scored)
    tables = []
    for step in STEPS:
        folder = train(
            workspace,
            run.plan,
            "plan",
            dataset=TARGET,
            fold=0,
            fraction=1.0,
            init="scratch",
            device="cpu",
            stop_at=step,
        )
        document = load_checkpoint(folder.checkpoint)
        assert document is not None
        assert document["step"] == step
        save_weights(folder.weights, document["network"], {})
        before = folder.run.read_text()
        write_text(folder.run, read_finetune_run(folder).model_copy(update={"status": "trained"}).to_json())
        predict_held_out(workspace, folder, device="cpu")
        tables.append(score_run(workspace, folder))
        folder.run.write_text(before)
        for file in (folder.weights, folder.scores):
            file.unlink()
    assert tables == [read_scores(scored.scores_at(step)) for step in STEPS]
    assert tables[0] != tables[1]


def test_scores_in_memory_are_those_of_the_written_predictions(scored: FinetuneFolder) -> None:
    predictor = load_predictor(scored, "cpu")
    workspace = Workspace(scored.path.parents[7])
    found = score_held_out(
        workspace, read_finetune_run(scored), lambda reader: predict_cached(predictor, reader)
    )
    assert found == read_scores(scored.scores)


def test_a_finished_run_is_left_as_it_is(scored: FinetuneFolder, caplog: pytest.LogCaptureFixture) -> None:
    before = {file: file.stat().st_mtime_ns for file in scored.path.glob("*.csv")}
    finetune(Workspace(scored.path.parents[7]), ON_THE_WAY)
    assert {file: file.stat().st_mtime_ns for file in scored.path.glob("*.csv")} == before
    assert "beyond" not in caplog.text


@pytest.mark.parametrize(("moment", "killed_step"), [("predict_cached", 2), ("write_scores", 4)])
def test_a_run_that_is_killed_while_it_scores_goes_on_from_that_step(
    scored: FinetuneFolder,
    fresh_planned_workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    killed_step: int,
) -> None:
    workspace = fresh_planned_workspace
    folder = folder_of(workspace)

    def die(*arguments: object) -> None:
        document = load_checkpoint(folder.checkpoint)
        assert document is not None
        if document["step"] == killed_step:
            raise Killed
        return getattr(original, moment)(*arguments)

    original = type("Original", (), {moment: staticmethod(getattr(scores_on_the_way, moment))})
    with monkeypatch.context() as patch:
        patch.setattr(scores_on_the_way, moment, die)
        with pytest.raises(Killed):
            finetune(workspace, ON_THE_WAY)
    assert not folder.scores_at(killed_step).exists()
    assert contents(finetune(workspace, ON_THE_WAY)) == contents(scored)


def test_a_run_that_begins_anew_is_scored_anew_on_the_way(
    scored: FinetuneFolder, fresh_planned_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checkpoint is gone; what it was scored with lies there still."""
    workspace, folder = fresh_planned_workspace, folder_of(fresh_planned_workspace)

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(scores_on_the_way, "saved_network", die)
        with pytest.raises(Killed):
            finetune(workspace, ON_THE_WAY)
    folder.checkpoint.unlink()
    for step in STEPS:
        folder.scores_at(step).write_text("of an earlier run")
    assert contents(finetune(workspace, ON_THE_WAY)) == contents(scored)


def test_a_run_that_went_beyond_a_step_goes_on_without_its_scores(
    scored: FinetuneFolder, fresh_planned_workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    """As a run that was stopped after three steps, before anybody asked for scores."""
    workspace, plan = fresh_planned_workspace, read_finetune_run(scored).plan
    section = plan.finetune.model_copy(update={"score_at": ()})
    folder = train(
        workspace,
        plan.model_copy(update={"finetune": section}),
        "plan",
        dataset=TARGET,
        fold=0,
        fraction=1.0,
        init="scratch",
        device="cpu",
        stop_at=3,
    )
    record = json.loads(folder.run.read_text())
    del record["plan"]["finetune"]["score_at"]  # as versions before wrote it
    folder.run.write_text(json.dumps(record))
    with caplog.at_level(logging.WARNING):
        finetune(workspace, ON_THE_WAY)
    assert "went beyond step 2 without being scored there, so there will be no scores_at_2.csv" in caplog.text
    expected = contents(scored)
    del expected["scores_at_2.csv"]
    assert contents(folder) == expected


def test_a_finished_run_gets_no_scores_of_steps_asked_for_later(
    plain: FinetuneFolder, caplog: pytest.LogCaptureFixture
) -> None:
    before = contents(plain)
    with caplog.at_level(logging.WARNING):
        finetune(Workspace(plain.path.parents[7]), ON_THE_WAY)
    assert "beyond step 2, 4 without" in caplog.text
    assert contents(plain) == before


def test_steps_beyond_a_run_that_counts_epochs_are_left_out(
    fresh_planned_workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    """Four training cases in batches of two: an epoch is two steps."""
    edits = ("finetune.epochs=2", "finetune.score_at=[1,4,9]")
    with caplog.at_level(logging.WARNING):
        folder = finetune(fresh_planned_workspace, *edits)
    assert read_finetune_run(folder).iterations == 4
    assert list(folder.scores_on_the_way()) == [1]
    assert "the run has 4 steps; none to score after step 4, 9" in caplog.text


def test_several_processes_refuse_to_score_on_the_way(
    fresh_planned_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setitem(os.environ, name, value)
    with pytest.raises(RunError, match=r"which 2 processes can't stop for: train in one process, or leave"):
        finetune(fresh_planned_workspace, ON_THE_WAY)
    assert not folder_of(fresh_planned_workspace).path.exists()
