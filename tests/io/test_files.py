import os

import pytest

from mixcl_auto.errors import DataError
from mixcl_auto.io.files import check_readable, check_writable, file_sha256, read_text, replacing, write_text


def test_a_failed_write_keeps_the_old_content(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "ne\udc80")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_the_temporary_file_keeps_the_suffixes(tmp_path):
    with replacing(tmp_path / "deep" / "a.nii.gz") as temporary:
        assert temporary.name.endswith("a.nii.gz")
        assert temporary.parent == tmp_path / "deep"
        temporary.touch()


def test_unreadable_text_is_named_with_the_remedy(tmp_path):
    (tmp_path / "a").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(DataError, match=r"a: the plan can't be read .*; make it again"):
        read_text(tmp_path / "a", what="plan", remedy="make it again")
    with pytest.raises(DataError, match="no such plan; make it"):
        read_text(tmp_path / "b", what="plan", remedy="make it")


def test_the_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_files_that_can_not_be_read_are_named_with_what_they_are(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe")
    for name, message in (
        ("empty", r"the file is empty \(0 bytes\)"),
        ("link", "a link to .*gone, which is not there; restore that file"),
        ("pipe", "no regular file"),
        ("gone", "no such file; put it there"),
        (".", "no regular file"),
        ("empty/x", r"can't be opened \(Not a directory\)"),
    ):
        with pytest.raises(DataError, match=message):
            check_readable(tmp_path / name)


def test_a_write_that_fails_is_one_of_the_file_and_not_of_its_temporary(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "a.txt"):
        pass
    assert caught.value.filename == str(tmp_path / "a.txt")


def test_a_folder_that_can_not_be_written_to_is_told_before_it_exists(tmp_path, monkeypatch):
    check_writable(tmp_path / "new" / "workspace")
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(DataError, match=f"{tmp_path}: you may not write here; choose another workspace"):
        check_writable(tmp_path / "new" / "workspace")
