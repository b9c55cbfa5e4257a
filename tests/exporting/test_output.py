from pathlib import Path

import pytest

from mixcl_auto.errors import RunError
from mixcl_auto.exporting.output import check_output


def test_new_and_empty_folders_are_taken(tmp_path: Path) -> None:
    check_output(tmp_path / "new", force=False)
    check_output(tmp_path, force=False)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_taken_by_force_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    with pytest.raises(RunError, match=r"not empty \(it holds config\.json\).*--force"):
        check_output(tmp_path, force=False)
    check_output(tmp_path, force=True)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="a file; give a folder"):
        check_output(tmp_path / "file", force=True)
