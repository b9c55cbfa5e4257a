"""Commands on a full disk: a message and exit code 1; with room again they end as if nothing had been."""

import shutil
from pathlib import Path

import pytest
from commands import FINETUNE, PRETRAIN, contents, leftovers, plan_command, refused, succeed
from event_points import logged_points, read_points
from full_disk import full_beyond

from mixcl_auto.io.files import write_text
from mixcl_auto.io.workspace import RunFolder, Workspace
from mixcl_auto.progress import Silent
from mixcl_auto.training.event_file import EventProgress, recording_events

RESULTS = (
    "results/**/*.safetensors",
    "results/**/log.csv",
    "results/**/*.nii.gz",
    "results/**/scores.csv",
    "out/**/*",
    "export/**/*",
)


def predict(workspace: Workspace) -> tuple[object, ...]:
    scans = workspace.raw_data / "Target_Abdomen" / "imagesTr"
    return "predict", "-i", scans, "-o", workspace.root / "out", "--preview", "--device", "cpu"


def export(workspace: Workspace) -> tuple[object, ...]:
    return "export", "encoder", "-o", workspace.root / "export"


def test_preprocessing_stops_at_the_first_case_and_goes_on_with_room(
    phantom_workspace: Workspace, planned_workspace: Workspace, tiny_edits: tuple[str, ...]
) -> None:
    plan = plan_command(tiny_edits)
    with full_beyond(8_000):
        assert "fingerprints/Target_Abdomen.json: File too large" in refused(phantom_workspace, *plan)
    with full_beyond(15_000):
        said = refused(phantom_workspace, *plan)
    assert said.count("File too large") == 1
    assert "can't be written (File too large), nor could the cases after it; those that are done" in said
    assert leftovers(phantom_workspace.root) == []
    succeed(phantom_workspace, *plan)
    expected = contents(planned_workspace.root, ("preprocessed/**/*", "plans/**/*"))
    assert expected.items() <= contents(phantom_workspace.root).items()


def test_every_stage_says_which_file_and_goes_on_with_room(
    fresh_planned_workspace: Workspace, workspace: Workspace
) -> None:
    undisturbed, workspace = workspace, fresh_planned_workspace
    for arguments, faults in (
        (PRETRAIN, {5_000: "mixcl/plan.json", 200_000: "mixcl/checkpoint.pt"}),
        (FINETUNE, {5_000: "seed_0/run.json", 200_000: "seed_0/checkpoint.pt"}),
        (predict(workspace), {5_000: "out/plan.json", 20_000: "out/previews/target_abdomen_000.png"}),
        (("report",), {300_000: "report/index.html"}),
        (export(workspace), {300_000: "export"}),
    ):
        for limit, file in faults.items():
            with full_beyond(limit):
                said = refused(workspace, *arguments)
            assert f"{file}: " in said
            assert "File too large" in said or "the disk may be full" in said
            assert leftovers(workspace.root) == []
        succeed(workspace, *arguments)
    for arguments in (predict(undisturbed), export(undisturbed)):
        succeed(undisturbed, *arguments)
    assert contents(workspace.root, RESULTS) == contents(undisturbed.root, RESULTS)
    assert len(contents(workspace.root, RESULTS)) > 15


def test_weights_and_predictions_are_written_once_there_is_room(
    workspace: Workspace, trained: Workspace
) -> None:
    folder = workspace.finetune("plan", "Target_Abdomen", "mixcl", 1.0, 0, 0)
    folder.run.write_text(folder.run.read_text().replace('"status": "finished"', '"status": "trained"'))
    folder.scores.unlink()
    shutil.rmtree(folder.predictions)
    with full_beyond(150):
        assert "predictions/resampled" in refused(workspace, *FINETUNE)
    folder.weights.unlink()
    with full_beyond(500_000):
        assert "model.safetensors" in refused(workspace, *FINETUNE)
    encoder = workspace.pretrain("plan", "mixcl").encoder
    encoder.unlink()
    with full_beyond(500_000):
        assert "encoder.safetensors" in refused(workspace, *PRETRAIN)
    for command in (PRETRAIN, FINETUNE):
        succeed(workspace, *command)
    assert contents(workspace.root, RESULTS) == contents(trained.root, RESULTS)


@pytest.mark.parametrize("limit", [100, 400])
def test_events_for_tensorboard_end_no_training(
    tmp_path: Path, limit: int, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder(tmp_path)
    write_text(folder.log, "step,loss\n" + "".join(f"{step},1.5\n" for step in range(1, 40)))
    progress = EventProgress(Silent(), folder)
    with full_beyond(limit):
        progress.start("pretrain", 40)
        progress.advance(1)
    progress.finish()
    assert len(caplog.records) == 1
    assert "events.out.tfevents" in caplog.text
    assert "(File too large); the training goes on without them" in caplog.text
    with recording_events(None, folder, wanted=True):
        pass
    assert read_points(folder.events) == logged_points(folder.log)
