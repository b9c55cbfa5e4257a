"""A workspace that may not be written is refused before work; raw data that may not be written are fine."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import contents, plan_command
from unprivileged import close, reopen, run_unprivileged

from mixcl_auto.io.workspace import Workspace


@pytest.fixture
def closed(workspace: Workspace) -> Iterator[Workspace]:
    """A workspace with a trained model in which nothing may be written."""
    close(workspace.root)
    yield workspace
    reopen(workspace.root)


def test_every_command_refuses_a_workspace_that_may_not_be_written(closed: Workspace) -> None:
    before = contents(closed.root)
    w, results = ("-w", closed.root), closed.plan_results("plan")
    scans = closed.raw_data / "Target_Abdomen" / "imagesTr"
    expected = {
        (*w, "validate"): closed.root,
        (*w, "plan_and_preprocess", "--preset", "tiny"): closed.root,
        (*w, "pretrain", "--name", "other", "--device", "cpu"): results / "pretrain",
        (*w, "finetune", "--init", "scratch", "--fold", "0", "--device", "cpu"): results / "finetune",
        (*w, "evaluate"): results / "finetune",
        (*w, "evaluate", "--predictions", closed.root, "--references", closed.root): closed.root,
        (*w, "predict", "-i", scans, "-o", closed.root / "out", "--device", "cpu"): closed.root,
        (*w, "export", "segmenter", "-o", closed.root / "out"): closed.root,
        (*w, "experiment", "--jobs", "1", "--device", "cpu"): results,
        (*w, "report"): results / "report",
    }
    for (command, folder), (code, said) in zip(
        expected.items(), run_unprivileged(list(expected)), strict=True
    ):
        assert code == 1, (command, said)
        assert str(folder) in said, (command, said)
        assert "Permission denied" in said or "you may not write here" in said, (command, said)
        assert "This is a bug" not in said, (command, said)
        assert "1/1" not in said, (command, said)  # a case that was scored, only to find this out
    assert contents(closed.root) == before


def test_raw_data_and_a_plans_cache_may_be_read_only(
    phantom_raw_data: Path, planned_workspace: Workspace, tmp_path: Path, tiny_edits: tuple[str, ...]
) -> None:
    raw_data, workspace = tmp_path / "scans", Workspace(tmp_path / "workspace")
    shutil.copytree(phantom_raw_data, raw_data)
    for path in raw_data.rglob("*.*"):
        path.chmod(0o444)
    close(raw_data)
    plan = plan_command(tiny_edits)
    try:
        ((code, said),) = run_unprivileged([("-w", workspace.root, *plan, "--raw-data", raw_data)])
    finally:
        reopen(raw_data)
    assert code == 0, said
    assert contents(workspace.preprocessed) == contents(planned_workspace.preprocessed)
