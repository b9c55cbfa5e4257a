import os
import subprocess
import sys
import time

import pytest

from mixcl_auto.io import partial_files
from mixcl_auto.io.files import replacing, write_text
from mixcl_auto.io.partial_files import (
    partial_path,
    remove_abandoned,
    remove_all_abandoned,
    remove_partials,
    remove_partials_in,
)
from mixcl_auto.io.run_lock import run_lock
from mixcl_auto.io.workspace import RunFolder

KILLED = """\
import os, signal, sys
from pathlib import Path
from mixcl_auto.io.files import replacing

with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    print(temporary.name, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_while_writing(path):
    """The name of what a killed process left beside a file that it was about to write."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    return path.with_name(done.stdout.strip())


def test_what_a_killed_process_left_goes_when_the_file_is_written(tmp_path):
    left = killed_while_writing(tmp_path / "a.txt")
    assert left.is_file()
    write_text(tmp_path / "b.txt", "another file")
    assert left.is_file()
    write_text(tmp_path / "a.txt", "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.txt"]


def test_what_a_living_process_writes_is_left_alone(tmp_path):
    with subprocess.Popen(["sleep", "60"]) as other:
        theirs = partial_path(tmp_path / "a.txt").name.replace(f"-{os.getpid()}.", f"-{other.pid}.")
        (tmp_path / theirs).touch()
        write_text(tmp_path / "a.txt", "mine")
        remove_all_abandoned(tmp_path)
        assert (tmp_path / theirs).exists()
        other.kill()
        other.wait()
        remove_all_abandoned(tmp_path)
        assert not (tmp_path / theirs).exists()


def test_another_machine_may_be_writing_and_is_left_alone(tmp_path, monkeypatch):
    left = killed_while_writing(tmp_path / "a.txt")
    monkeypatch.setattr(partial_files, "_machine", lambda: "0badcafe")
    remove_abandoned(tmp_path / "a.txt")
    remove_all_abandoned(tmp_path)
    assert left.is_file()


def age(*paths, hours=25):
    for path in paths:
        os.utime(path, (time.time() - hours * 3600,) * 2)


def test_what_another_machine_left_goes_after_a_day(tmp_path):
    names = [".0badcafe-1.a", ".0badcafe-1.b", ".0badcafe-2.a"]
    for name in names:
        (tmp_path / name).touch()
    age(tmp_path / names[0], hours=23)
    age(tmp_path / names[1], tmp_path / names[2])
    remove_abandoned(tmp_path / "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == names[:2]
    remove_all_abandoned(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == names[:1]


def test_a_folder_is_as_old_as_its_newest_file(tmp_path):
    folder = tmp_path / ".0badcafe-1.case"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "image.npy").touch()
    age(folder / "deep", folder)
    remove_all_abandoned(tmp_path)
    assert folder.is_dir()
    age(folder / "deep" / "image.npy")
    remove_all_abandoned(tmp_path)
    assert not folder.exists()


def test_a_living_process_of_this_machine_may_take_longer_than_a_day(tmp_path):
    with replacing(tmp_path / "a") as temporary:
        temporary.write_text("new")
        age(temporary)
        remove_all_abandoned(tmp_path)
    assert (tmp_path / "a").read_text() == "new"


def test_what_earlier_versions_left_goes_where_it_is_asked_for_and_after_a_day(tmp_path):
    old, new, other = tmp_path / ".4711.case", tmp_path / ".4712.case", tmp_path / ".x.case"
    for path in (old, new, other):
        path.mkdir()
    age(old, other)
    remove_all_abandoned(tmp_path)
    assert old.is_dir()
    remove_all_abandoned(tmp_path, earlier_form=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".4712.case", ".x.case"]


def test_only_the_folders_that_are_named_are_cleared_and_of_any_process_number(tmp_path):
    """In a container a process often has the number of the one that was killed in another."""
    deep = tmp_path / "mine"
    deep.mkdir()
    (deep / ".0badcafe-1.a").touch()
    (tmp_path / f".0badcafe-{os.getpid()}.a").touch()
    partial_path(tmp_path / "b").touch()
    remove_partials_in([tmp_path, tmp_path / "nowhere"])
    assert {path.name for path in tmp_path.iterdir()} == {"mine", partial_path(tmp_path / "b").name}
    assert (deep / ".0badcafe-1.a").exists()


def test_whoever_has_the_run_removes_what_any_machine_left_in_it(tmp_path):
    folder = RunFolder(tmp_path / "run")
    deep = folder.path / "predictions" / "resampled"
    deep.mkdir(parents=True)
    left = [folder.path / ".0badcafe-1.checkpoint.pt", deep / ".0badcafe-1.c.nii.gz", deep / ".0badcafe-1.d"]
    for path in left[:2]:
        path.touch()
    left[2].mkdir()
    (deep / ".hidden-1.of.the.user").touch()
    (deep / "c.nii.gz").touch()
    with run_lock(folder):
        assert not any(path.exists() for path in left)
        assert sorted(path.name for path in deep.iterdir()) == [".hidden-1.of.the.user", "c.nii.gz"]


def test_a_file_that_is_written_meanwhile_is_no_leftover(tmp_path):
    with replacing(tmp_path / "a") as temporary:
        temporary.write_text("new")
        remove_partials(tmp_path)
        remove_all_abandoned(tmp_path)
        remove_abandoned(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "new"


@pytest.mark.parametrize("name", [".git", ".0badcafe-x.a", "0badcafe-1.a", ".0badcaf-1.a", ".0badcafe-1."])
def test_other_hidden_files_are_no_leftovers(tmp_path, name):
    (tmp_path / name).touch()
    remove_partials(tmp_path)
    assert (tmp_path / name).exists()
