import errno
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from full_disk import full_beyond

from mixcl_auto.errors import RunError
from mixcl_auto.io import run_lock as module
from mixcl_auto.io.run_lock import holder, output_lock, run_lock, says_refused
from mixcl_auto.io.workspace import RunFolder

HOLD = """\
import os, sys, time
from pathlib import Path
from mixcl_auto.io.run_lock import run_lock
from mixcl_auto.io.workspace import RunFolder

with run_lock(RunFolder(Path(sys.argv[1]))):
    child = os.fork() if "fork" in sys.argv else 1
    if child:
        print(child, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


@contextmanager
def held_elsewhere(folder: RunFolder, *options: str) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    command = [sys.executable, "-c", HOLD, str(folder.path), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def test_a_second_process_is_refused_and_told_who_works_on_the_run(folder: RunFolder) -> None:
    with held_elsewhere(folder) as (process, _):
        found = holder(folder)
        assert found is not None
        assert (found.host, found.pid) == (socket.gethostname(), process.pid)
        wanted = (
            rf"run: process {process.pid} on {socket.gethostname()} has been working on this run since 20"
        )
        with pytest.raises(RunError, match=wanted) as caught, run_lock(folder):
            pass
        assert says_refused(f"Error: {caught.value}\nas the log has it")


def test_a_killed_holder_is_none(folder: RunFolder) -> None:
    with held_elsewhere(folder) as (process, _):
        process.kill()
        process.wait()
        assert folder.lock.read_text()
        assert holder(folder) is None
        with run_lock(folder):
            pass


def test_a_forked_child_does_not_keep_the_lock(folder: RunFolder) -> None:
    with held_elsewhere(folder, "fork") as (process, child):
        process.kill()
        process.wait()
        try:
            os.kill(child, 0)  # it is alive, with the file open
            with run_lock(folder):
                pass
        finally:
            os.kill(child, signal.SIGKILL)


def test_patience_outlasts_a_holder_that_is_about_to_end(folder: RunFolder) -> None:
    with held_elsewhere(folder) as (process, _):
        began = time.monotonic()
        killer = ["sh", "-c", f"sleep 2.5; kill -9 {process.pid}"]
        with subprocess.Popen(killer), run_lock(folder, patience_s=30):
            assert time.monotonic() - began > 2


@pytest.mark.parametrize("with_new_lock", [False, True])
def test_whoever_waited_for_a_lock_that_was_removed_takes_the_one_that_is_there(
    folder: RunFolder, with_new_lock: bool
) -> None:
    with held_elsewhere(folder) as (process, _):
        remove = f"sleep 0.5; rm -r {folder.path}; "
        if with_new_lock:
            remove += f"mkdir {folder.path}; touch {folder.lock}; "
        with (
            subprocess.Popen(["sh", "-c", f"{remove} kill -9 {process.pid}"]),
            run_lock(folder, patience_s=30),
        ):
            assert f'"pid": {os.getpid()}' in folder.lock.read_text()


def test_a_free_run_has_no_holder(folder: RunFolder) -> None:
    assert holder(folder) is None
    with run_lock(folder):
        assert f'"pid": {os.getpid()}' in folder.lock.read_text()
    assert holder(folder) is None
    assert folder.lock.read_text() == ""


def test_taking_the_lock_forgets_an_earlier_failure(folder: RunFolder) -> None:
    folder.path.mkdir()
    folder.failure.write_text("{}")
    with run_lock(folder):
        assert not folder.failure.exists()


def test_a_holder_that_has_not_signed_yet_is_someone(folder: RunFolder) -> None:
    with held_elsewhere(folder):
        folder.lock.write_text("")
        found = holder(folder)
        assert found is not None
        assert found.host == "an unknown machine"


def test_without_locks_on_the_file_system_the_work_goes_on_with_a_warning(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(descriptor: int, command: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(module.fcntl, "lockf", refuse)
    with caplog.at_level(logging.WARNING), run_lock(folder):
        assert holder(folder) is None
    assert "no locks on this file system" in caplog.text


def test_a_full_disk_keeps_nobody_from_the_lock_and_leaves_no_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lock = tmp_path / "x.lock"
    with full_beyond(0), caplog.at_level(logging.WARNING), output_lock(lock, tmp_path) as locked:
        assert locked
        assert lock.read_bytes() == b""
    assert "x.lock: held, but it can't say by whom" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_run_on_a_full_disk_is_locked_all_the_same(folder: RunFolder) -> None:
    ask = "import sys; from pathlib import Path; from mixcl_auto.io.workspace import RunFolder; "
    ask += "from mixcl_auto.io.run_lock import holder; print(holder(RunFolder(Path(sys.argv[1]))).pid)"
    with full_beyond(0), run_lock(folder):
        done = subprocess.run(
            [sys.executable, "-c", ask, str(folder.path)], capture_output=True, text=True, check=True
        )
    assert done.stdout == "0\n"


def test_the_lock_of_a_folder_is_gone_after_a_failure(tmp_path: Path) -> None:
    def fail() -> None:
        with output_lock(tmp_path / "x.lock", tmp_path):
            raise RunError("the work failed")

    with pytest.raises(RunError, match="the work failed"):
        fail()
    assert list(tmp_path.iterdir()) == []
