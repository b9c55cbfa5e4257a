from pathlib import Path

import pytest
from download_imitations import touch

from mixcl_auto.converters.files import as_written, find_folders, image_files, image_stem


def is_wanted(folder: Path) -> bool:
    return (folder / "mark").exists()


def test_folders_are_found_at_or_below_the_top_but_not_inside_one_another(tmp_path):
    touch(tmp_path / "b" / "mark", tmp_path / "b" / "inner" / "mark", tmp_path / "a" / "deep" / "er" / "mark")
    assert find_folders(tmp_path, is_wanted) == [tmp_path / "a" / "deep" / "er", tmp_path / "b"]
    assert find_folders(tmp_path / "b", is_wanted) == [tmp_path / "b"]


def test_hidden_folders_and_those_too_deep_are_not_searched(tmp_path):
    touch(tmp_path / ".hidden" / "mark", tmp_path / "1" / "2" / "3" / "4" / "mark")
    assert find_folders(tmp_path, is_wanted) == []


def test_folders_that_link_in_a_circle_are_searched_once(tmp_path):
    touch(tmp_path / "a" / "mark")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert find_folders(tmp_path, is_wanted) == [tmp_path / "a"]


def test_compressed_images_come_before_others_and_hidden_ones_are_skipped(tmp_path):
    touch(
        *(tmp_path / name for name in ("a.nii", "a.nii.gz", "b.nii", "C.NII.GZ", "._d.nii.gz", "notes.txt"))
    )
    (tmp_path / "folder.nii").mkdir()
    (tmp_path / "broken.nii").symlink_to(tmp_path / "nowhere")
    assert {stem: path.name for stem, path in image_files(tmp_path).items()} == {
        "a": "a.nii.gz",
        "b": "b.nii",
        "C": "C.NII.GZ",
    }
    assert image_files(tmp_path / "nothing") == {}


def test_stems_are_names_without_an_images_ending():
    assert [image_stem(name) for name in ("a.b.nii.gz", "a.nii", "a.mha")] == ["a.b", "a", "a.mha"]


def test_paths_keep_links_unless_they_are_left_by_two_dots(tmp_path, monkeypatch):
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "inner")
    monkeypatch.chdir(tmp_path)
    assert as_written(Path("link/x")) == tmp_path / "link" / "x"
    assert as_written(Path("link/../x")) == tmp_path / "real" / "x"
    assert as_written(Path("./real/../y")) == tmp_path / "y"


def test_a_folder_that_may_not_be_opened_holds_nothing(tmp_path, monkeypatch):
    touch(tmp_path / "shut" / "mark", tmp_path / "open" / "mark")
    opened = Path.iterdir

    def refuse(folder: Path):
        if folder.name == "shut":
            raise PermissionError(13, "Permission denied", str(folder))
        return opened(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert find_folders(tmp_path / "shut", lambda folder: False) == []
    assert find_folders(tmp_path, is_wanted) == [tmp_path / "open", tmp_path / "shut"]


@pytest.mark.parametrize("name", ["a.Nii.gz", "a.nii.GZ"])
def test_endings_that_itk_refuses_are_no_images(tmp_path, name):
    touch(tmp_path / name)
    assert image_files(tmp_path) == {}
