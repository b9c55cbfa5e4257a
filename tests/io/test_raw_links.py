from pathlib import Path

import pytest

from mixcl_auto.errors import DataError
from mixcl_auto.io.raw_links import link_datasets


def make_dataset(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "dataset.json").write_text("{}")
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with the datasets A and B, a folder that is none, and a file."""
    make_dataset(tmp_path / "nnUNet_raw" / "B")
    make_dataset(tmp_path / "nnUNet_raw" / "A")
    (tmp_path / "nnUNet_raw" / "scripts").mkdir()
    (tmp_path / "nnUNet_raw" / "notes.txt").touch()
    return tmp_path / "nnUNet_raw"


@pytest.fixture
def raw_data(tmp_path: Path) -> Path:
    return tmp_path / "workspace" / "raw_data"


def test_every_dataset_of_the_folder_is_linked_by_its_absolute_path(
    source: Path, raw_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source.parent)
    assert link_datasets(raw_data, Path("nnUNet_raw")) == ["A", "B"]
    assert sorted(path.name for path in raw_data.iterdir()) == ["A", "B"]
    assert (raw_data / "A").readlink() == source / "A"
    monkeypatch.chdir(source / "A")
    assert link_datasets(raw_data, Path("../../nnUNet_raw")) == []


def test_only_the_datasets_named_are_linked(source: Path, raw_data: Path) -> None:
    assert link_datasets(raw_data, source, ["B", "elsewhere"]) == ["B"]
    assert not (raw_data / "A").exists()
    with pytest.raises(DataError, match="no dataset C, D; there are: A, B"):
        link_datasets(raw_data, source, ["C", "D"])


def test_a_folder_that_is_a_dataset_is_linked_by_its_name(source: Path, raw_data: Path) -> None:
    assert link_datasets(raw_data, source / "A") == ["A"]


def test_links_that_are_there_already_are_kept(source: Path, raw_data: Path) -> None:
    link_datasets(raw_data, source, ["A"])
    assert link_datasets(raw_data, source) == ["B"]
    assert link_datasets(raw_data, source) == []
    assert link_datasets(source, source) == []


def test_what_else_has_a_datasets_place_is_named_and_nothing_is_linked(source: Path, raw_data: Path) -> None:
    make_dataset(raw_data / "B")
    with pytest.raises(DataError, match=f"already there, and something else: {raw_data / 'B'}; remove"):
        link_datasets(raw_data, source)
    assert not (raw_data / "A").exists()


def test_a_broken_link_in_a_datasets_place_is_named(source: Path, raw_data: Path) -> None:
    raw_data.mkdir(parents=True)
    (raw_data / "A").symlink_to("/nowhere")
    with pytest.raises(DataError, match=r"raw_data/A -> /nowhere; remove or rename it"):
        link_datasets(raw_data, source)


def test_nothing_is_written_into_a_folder_that_raw_data_links_to(source: Path, raw_data: Path) -> None:
    other = make_dataset(raw_data.parent / "other" / "Z").parent
    raw_data.symlink_to(other)
    with pytest.raises(DataError, match=r"is a link itself .*nothing is written there"):
        link_datasets(raw_data, source)
    assert [path.name for path in other.iterdir()] == ["Z"]


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("nowhere", "nowhere: no such folder; give one that holds datasets"),
        ("nnUNet_raw/scripts", "no dataset there .*see raw_data_template"),
        (".", "no dataset there .*; did you mean .*/nnUNet_raw[?]"),
    ],
)
def test_a_folder_without_datasets_is_refused(
    source: Path, raw_data: Path, folder: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        link_datasets(raw_data, source.parent / folder)


def test_a_file_system_without_links_is_said_to_be_one(
    source: Path, raw_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.raises(
        DataError, match=r"no symbolic link can be made here \(Operation not permitted\); use a"
    ):
        link_datasets(raw_data, source)
