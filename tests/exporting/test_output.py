import json
from pathlib import Path

import pytest

from mixcl_auto.errors import RunError
from mixcl_auto.exporting.config import FORMAT
from mixcl_auto.exporting.output import check_output, staged
from mixcl_auto.io.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """With a dataset that is linked in."""
    (tmp_path / "linked").mkdir()
    workspace = Workspace(tmp_path / "workspace")
    workspace.raw_data.mkdir(parents=True)
    (workspace.raw_data / "Dataset").symlink_to(tmp_path / "linked")
    return workspace


def config_of(kind: str) -> str:
    return json.dumps({"format": FORMAT, "kind": kind})


def stage_files(folder: Path, names: tuple[str, ...], problem: Exception | None = None) -> None:
    with staged(folder) as stage:
        for name in names:
            (stage / name).write_text("new")
        if problem is not None:
            raise problem


def test_new_and_empty_folders_are_taken(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    check_output(tmp_path / "new", workspace, "encoder", force=False)
    check_output(tmp_path / "empty", workspace, "encoder", force=False)
    assert not (tmp_path / "new").exists()
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_folder_with_files_is_taken_by_force_alone(workspace: Workspace, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.json").write_text(config_of("encoder"))
    with pytest.raises(RunError, match=r"not empty \(it holds config\.json\).*--force"):
        check_output(out, workspace, "encoder", force=False)
    check_output(out, workspace, "encoder", force=True)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("config.json", config_of("encoder"), r"config\.json: of encoder, .* does not replace by segmenter"),
        ("configs/export.json", config_of("bundle"), r"export\.json: of bundle, .* by segmenter"),
        ("config.json", '{"kind": "segmenter"}', "of something else"),
        ("config.json", "[]", "of something else"),
        ("config.json", "no JSON", "of something else"),
    ],
)
def test_force_does_not_mix_kinds(
    workspace: Workspace, tmp_path: Path, name: str, text: str, message: str
) -> None:
    config = tmp_path / "out" / name
    config.parent.mkdir(parents=True)
    config.write_text(text)
    with pytest.raises(RunError, match=message):
        check_output(tmp_path / "out", workspace, "segmenter", force=True)


@pytest.mark.parametrize(
    "name", ["raw_data", "raw_data/Dataset/x", "preprocessed/a", "results/p/x", "plans/x"]
)
@pytest.mark.parametrize("force", [True, False])
def test_the_workspaces_own_folders_are_refused(workspace: Workspace, name: str, force: bool) -> None:
    with pytest.raises(RunError, match=r"inside .*, which holds the workspace's own files"):
        check_output(workspace.root / name, workspace, "encoder", force=force)


def test_own_folders_are_known_behind_links(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(workspace.results)
    for folder in (tmp_path / "link" / "x", tmp_path / "linked" / "x"):
        with pytest.raises(RunError, match="the workspace's own files"):
            check_output(folder, workspace, "encoder", force=True)
    check_output(workspace.root / "exports", workspace, "encoder", force=False)


def test_a_file_is_no_folder(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="a file; give a folder"):
        check_output(tmp_path / "file", workspace, "encoder", force=True)


@pytest.mark.parametrize("exists", [True, False])
def test_staged_files_come_together(tmp_path: Path, exists: bool) -> None:
    out = tmp_path / "out"
    if exists:
        (out / "models").mkdir(parents=True)
        (out / "models" / "model.pt").write_text("old")
    with staged(out) as stage:
        (stage / "models").mkdir()
        (stage / "models" / "model.pt").write_text("new")
        (stage / "config.json").write_text("{}")
        assert not (out / "config.json").exists()
    assert (out / "models" / "model.pt").read_text() == "new"
    assert sorted(path.name for path in out.rglob("*")) == ["config.json", "model.pt", "models"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "config.json").write_text("old")
    with pytest.raises(RunError, match="half way"):
        stage_files(out, ("config.json",), RunError("half way"))
    assert [path.name for path in out.iterdir()] == ["config.json"]
    assert (out / "config.json").read_text() == "old"
    with pytest.raises(RunError, match="half way"):
        stage_files(tmp_path / "absent", ("config.json",), RunError("half way"))
    assert not (tmp_path / "absent").exists()


def test_an_interrupted_move_leaves_no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("config.json", "model.safetensors"):
        (out / name).write_text("old")
    replace = Path.replace

    def full_disk(source: Path, target: Path) -> Path:
        if source.name == "config.json":
            raise OSError("no space left")
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OSError, match="no space left"):
        stage_files(out, ("config.json", "model.safetensors"))
    assert [path.name for path in out.iterdir()] == ["model.safetensors"]
    assert (out / "model.safetensors").read_text() == "new"
