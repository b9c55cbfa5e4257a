import json
from pathlib import Path

import pytest

from mixcl_auto.errors import DataError
from mixcl_auto.io.raw_dataset import read_raw_dataset
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.workflows.convert import convert


def write_task(folder: Path, names: tuple[str, ...] = ("spleen_1", "spleen_2")) -> Path:
    """A task of the Decathlon with empty files: converting opens none."""
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
        for name in names:
            (folder / part / f"{name}.nii.gz").touch()
    pairs = [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in names]
    document = {
        "name": "Spleen",
        "licence": "CC-BY-SA 4.0",
        "modality": {"0": "CT"},
        "labels": {"1": "spleen"},
    }
    (folder / "dataset.json").write_text(json.dumps(document | {"training": pairs}))
    return folder


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def test_what_is_written_is_read_as_the_same_dataset(tmp_path, workspace):
    done = convert("msd", write_task(tmp_path / "Task09_Spleen"), workspace)
    assert done.path == workspace.raw_data / "Task09_Spleen" / "dataset.json"
    assert read_raw_dataset(done.path.parent) == done.dataset
    document = json.loads(done.path.read_text())
    assert document["licence"] == "CC-BY-SA 4.0"
    assert document["labels"] == {"background": 0, "spleen": 1}
    assert document["numTraining"] == 2


def test_only_dataset_json_is_written_and_the_download_is_not_touched(tmp_path, workspace):
    task = write_task(tmp_path / "Task09_Spleen")
    before = {path: path.stat().st_mtime_ns for path in task.rglob("*")}
    convert("msd", task, workspace)
    assert {path: path.stat().st_mtime_ns for path in task.rglob("*")} == before
    assert [path.name for path in workspace.root.rglob("*") if path.is_file()] == ["dataset.json"]


def test_files_outside_the_workspace_are_named_absolutely(tmp_path, workspace, monkeypatch):
    write_task(tmp_path / "Task09_Spleen")
    monkeypatch.chdir(tmp_path)
    entry = json.loads(convert("msd", "Task09_Spleen", "workspace").path.read_text())["cases"][0]
    assert entry == {
        "id": "spleen_1",
        "image": str(tmp_path / "Task09_Spleen" / "imagesTr" / "spleen_1.nii.gz"),
        "label": str(tmp_path / "Task09_Spleen" / "labelsTr" / "spleen_1.nii.gz"),
    }


def test_a_workspace_with_its_download_can_be_moved(tmp_path, workspace):
    done = convert("msd", write_task(workspace.root / "downloads" / "Task09_Spleen"), workspace)
    entry = json.loads(done.path.read_text())["cases"][0]
    assert entry["image"] == "../../downloads/Task09_Spleen/imagesTr/spleen_1.nii.gz"
    moved = workspace.root.rename(tmp_path / "moved")
    assert read_raw_dataset(moved / "raw_data" / "Task09_Spleen").cases[0].image.is_file()


def test_a_linked_raw_data_folder_does_not_lead_relative_paths_astray(tmp_path, workspace):
    (tmp_path / "big_disk").mkdir()
    task = write_task(workspace.root / "downloads" / "Task09_Spleen")
    workspace.raw_data.symlink_to(tmp_path / "big_disk")
    done = convert("msd", task, workspace)
    assert read_raw_dataset(done.path.parent).cases[0].image.is_file()


def test_links_are_written_as_they_are(tmp_path, workspace):
    write_task(tmp_path / "store" / "x")
    (tmp_path / "Task09_Spleen").symlink_to(tmp_path / "store" / "x")
    done = convert("msd", tmp_path / "Task09_Spleen", workspace)
    assert done.dataset.name == "Task09_Spleen"
    assert done.dataset.cases[0].image == tmp_path / "Task09_Spleen" / "imagesTr" / "spleen_1.nii.gz"


def test_the_same_again_is_done_already(tmp_path, workspace):
    task = write_task(tmp_path / "Task09_Spleen")
    first = convert("msd", task, workspace)
    written = first.path.stat().st_mtime_ns
    second = convert("msd", task, workspace)
    assert (first.unchanged, second.unchanged) == (False, True)
    assert second.path.stat().st_mtime_ns == written


@pytest.mark.parametrize("there", ["{}", "not JSON"])
def test_another_dataset_json_is_not_overwritten(tmp_path, workspace, there):
    task = write_task(tmp_path / "Task09_Spleen")
    path = workspace.dataset_json("Task09_Spleen")
    path.parent.mkdir(parents=True)
    path.write_text(there)
    with pytest.raises(
        DataError, match=r"another dataset.json already; remove it, or give .* \(--name NAME\)"
    ):
        convert("msd", task, workspace)
    assert path.read_text() == there
    assert convert("msd", task, workspace, name="Other").path.is_file()


@pytest.mark.parametrize("name", [None, "Milz Größe"])
def test_a_decathlon_task_in_raw_data_is_to_be_moved_out(workspace, name):
    task = write_task(workspace.raw_data / "Task09_Spleen")
    before = (task / "dataset.json").read_text()
    with pytest.raises(
        DataError, match=r"lies in raw_data, .* move it elsewhere, such as to .*downloads/Task09_Spleen"
    ):
        convert("msd", task, workspace, name=name)
    assert (task / "dataset.json").read_text() == before
    assert [path.name for path in workspace.raw_data.iterdir()] == ["Task09_Spleen"]


def test_a_linked_decathlon_task_in_raw_data_is_to_be_moved_out_too(tmp_path, workspace):
    task = write_task(tmp_path / "Task09_Spleen")
    workspace.raw_data.mkdir(parents=True)
    (workspace.raw_data / "Task09_Spleen").symlink_to(task)
    with pytest.raises(DataError, match="lies in raw_data"):
        convert("msd", task, workspace)


def test_another_download_in_raw_data_is_described_there_and_again(workspace):
    folder = workspace.raw_data / "BTCV"
    for part, name in (("img", "img0001"), ("label", "label0001")):
        (folder / part).mkdir(parents=True)
        (folder / part / f"{name}.nii.gz").touch()
    done = convert("btcv", folder, workspace)
    assert done.path == folder / "dataset.json"
    assert json.loads(done.path.read_text())["cases"][0]["image"] == "img/img0001.nii.gz"
    assert convert("btcv", folder, workspace).unchanged


def test_name_and_role_can_be_given(tmp_path, workspace):
    done = convert("msd", write_task(tmp_path / "t"), workspace, name="Milz, groß", role="both")
    assert done.path == workspace.raw_data / "Milz, groß" / "dataset.json"
    read = read_raw_dataset(done.path.parent)
    assert (read.name, read.role, read.role_given) == ("Milz, groß", "both", True)


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "a\nb"])
def test_names_that_leave_raw_data_are_refused_before_anything_is_read(tmp_path, workspace, name):
    with pytest.raises(DataError, match="a dataset name must be a plain name"):
        convert("msd", tmp_path / "nothing", workspace, name=name)


def test_a_download_whose_own_name_can_not_be_used_needs_another(tmp_path, workspace):
    folder = write_task(tmp_path / ".Task09_Spleen")
    with pytest.raises(DataError, match=r"can't be called '\.Task09_Spleen'; give it a name \(--name NAME\)"):
        convert("msd", folder, workspace)
    assert convert("msd", folder, workspace, name="Spleen").dataset.name == "Spleen"


def test_unknown_layouts_and_roles_are_refused(tmp_path):
    with pytest.raises(DataError, match="no layout 'amos'; there are: msd, kits19, nih_pancreas, btcv"):
        convert("amos", tmp_path)
    with pytest.raises(DataError, match="role 'test': it is one of pretrain, target, both"):
        convert("msd", tmp_path, role="test")
