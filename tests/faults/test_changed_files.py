"""Files that vanish or change between stages: made again, or named with what to do; never other results."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import FINETUNE, PRETRAIN, contents, plan_command, refused, run, succeed

import mixcl_auto
from mixcl_auto.io.workspace import FinetuneFolder, Workspace

RESULTS = ("*.safetensors", "log.csv", "predictions/**/*.nii.gz", "scores.csv")
Spoil = Callable[[Workspace], object]


def finetuned(workspace: Workspace) -> FinetuneFolder:
    return workspace.finetune("plan", "Target_Abdomen", "mixcl", 1.0, 0, 0)


def held_out_map(workspace: Workspace) -> Path:
    return next(finetuned(workspace).predictions.glob("*.nii.gz"))


def unfinish(workspace: Workspace, status: str) -> FinetuneFolder:
    """As if the run had been killed before it was scored, or before it was said to be trained."""
    folder = finetuned(workspace)
    folder.scores.unlink()
    folder.run.write_text(folder.run.read_text().replace('"status": "finished"', f'"status": "{status}"'))
    return folder


MADE_AGAIN: dict[str, Spoil] = {
    "scores.csv": lambda w: finetuned(w).scores.unlink(),
    "done.json": lambda w: unfinish(w, "trained").prediction_record.unlink(),
    "a prediction": lambda w: (unfinish(w, "trained"), held_out_map(w).unlink()),
    "all predictions": lambda w: shutil.rmtree(unfinish(w, "trained").predictions),
    "run.json": lambda w: (unfinish(w, "trained"), finetuned(w).run.unlink()),
    "model.safetensors": lambda w: unfinish(w, "trained").weights.unlink(),
    "checkpoint.pt of a run that is not finished": lambda w: unfinish(w, "running").checkpoint.unlink(),
    "encoder.safetensors": lambda w: w.pretrain("plan", "mixcl").encoder.unlink(),
}


@pytest.mark.parametrize("file", MADE_AGAIN)
def test_what_vanished_from_a_run_is_made_again_the_same(
    workspace: Workspace, trained: Workspace, file: str
) -> None:
    MADE_AGAIN[file](workspace)
    for command in (PRETRAIN, FINETUNE):
        succeed(workspace, *command)
    for folder in ("pretrain", "finetune"):
        found, expected = (contents(one.plan_results("plan") / folder) for one in (workspace, trained))
        results = {name for name in expected if any(Path(name).match(pattern) for pattern in RESULTS)}
        assert len(results) > 1
        assert {name: found[name] for name in results} == {name: expected[name] for name in results}


def cached_folder(workspace: Workspace) -> Path:
    return next(workspace.preprocessed.glob("Target_Abdomen/*/target_abdomen_001"))


NAMED: dict[str, tuple[Spoil, str]] = {
    "the plan": (lambda w: w.plan("plan").unlink(), r"no plan 'plan' .* plan_and_preprocess"),
    "the folds": (
        lambda w: w.split("Target_Abdomen").unlink(),
        r"splits/Target_Abdomen\.json: no such file of the plan; run",
    ),
    "the fingerprint": (
        lambda w: w.fingerprint("Target_Abdomen").unlink(),
        r"fingerprints/Target_Abdomen\.json: no such file of the plan; run",
    ),
    "a cached case": (
        lambda w: shutil.rmtree(cached_folder(w)),
        r"1 of \d cases are not in the cache .*\(target_abdomen_001\); run `mixcl_auto -w \S+ plan_and",
    ),
    "the pre-training": (
        lambda w: shutil.rmtree(w.pretrain("plan", "mixcl").path),
        "has no pre-training 'mixcl'",
    ),
}


@pytest.mark.parametrize("file", NAMED)
def test_what_vanished_before_a_training_is_named(workspace: Workspace, file: str) -> None:
    spoil, message = NAMED[file]
    shutil.rmtree(finetuned(workspace).path)
    spoil(workspace)
    assert re.search(message, refused(workspace, *FINETUNE))


def test_a_finished_run_needs_nothing_but_itself(workspace: Workspace) -> None:
    shutil.rmtree(workspace.preprocessed)
    workspace.raw_data.unlink()
    for path in (finetuned(workspace).log, finetuned(workspace).checkpoint, held_out_map(workspace)):
        path.unlink()
    assert "Dice" in succeed(workspace, *FINETUNE).output
    succeed(workspace, "report")


def test_what_a_prediction_lacks_is_named(workspace: Workspace) -> None:
    scans = workspace.raw_data / "Target_Abdomen" / "imagesTr"
    predict = ("predict", "-i", scans, "-o", workspace.root / "out", "--device", "cpu")
    finetuned(workspace).weights.unlink()
    assert re.search(r"model\.safetensors.* (finetune|restore|put)", refused(workspace, *predict))
    assert re.search(
        r"model\.safetensors", refused(workspace, "export", "segmenter", "-o", workspace.root / "e")
    )


@pytest.mark.parametrize("place", ["imagesTr", "labelsTr"])
def test_a_raw_file_that_changed_or_vanished_after_planning_stops_what_needs_it(
    workspace: Workspace, place: str
) -> None:
    raw_data = workspace.root / "own"
    shutil.copytree(workspace.raw_data, raw_data)
    workspace.raw_data.unlink()
    raw_data.rename(workspace.raw_data)
    folder = unfinish(workspace, "trained")
    case = held_out_map(workspace).name.removesuffix(".nii.gz")
    path = next((workspace.raw_data / "Target_Abdomen" / place).glob(f"{case}*"))
    path.write_bytes(path.read_bytes() + b"\0")
    result = run(workspace, *FINETUNE)
    if place == "imagesTr":  # its cache is that of the planned file, and nothing else is read of it
        assert result.exit_code == 0, result.output
        return
    assert f"{path}: the reference changed after it was planned" in result.output
    path.unlink()
    assert case in refused(workspace, *FINETUNE)
    assert not folder.scores.exists()


def test_a_flipped_byte_in_the_cache_is_found_and_mended_by_preprocessing(
    workspace: Workspace, trained: Workspace, tiny_edits: tuple[str, ...]
) -> None:
    path = cached_folder(workspace) / "image.b2nd"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)
    plan = plan_command(tiny_edits)
    said = succeed(workspace, *plan).output
    assert f"{path}: the cached file does not have its check sum; the case is made again" in said
    assert contents(workspace.preprocessed) == contents(trained.preprocessed)


def test_a_stopped_pretraining_that_lost_its_record_ends_the_same(
    trained: Workspace, workspace: Workspace
) -> None:
    folder = mixcl_auto.pretrain(workspace, name="again", device="cpu", stop_after=2)
    folder.run.unlink()
    mixcl_auto.pretrain(workspace, name="again", device="cpu")
    assert folder.log.read_bytes() == trained.pretrain("plan", "mixcl").log.read_bytes()


def test_a_checkpoint_without_its_record_is_no_start_for_another_plan(workspace: Workspace) -> None:
    folder = unfinish(workspace, "running")
    folder.run.unlink()
    said = refused(workspace, *FINETUNE, "--set", "finetune.learning_rate=0.5")
    assert "finetune.learning_rate" in said
    assert f"{folder.path} holds a run of another plan" in " ".join(said.split())


def test_a_run_that_begins_anew_is_scored_anew(workspace: Workspace, trained: Workspace) -> None:
    folder = finetuned(workspace)
    kept = folder.scores.read_bytes()
    folder.scores.write_text(folder.scores.read_text().replace("0.", "0.9"))
    assert folder.scores.read_bytes() != kept
    for path in (folder.run, folder.weights, folder.checkpoint):
        path.unlink(missing_ok=True)
    succeed(workspace, *FINETUNE)
    assert folder.scores.read_bytes() == kept
