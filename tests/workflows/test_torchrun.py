"""The command line under torchrun: two processes on this CPU, and one of them killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mixcl_auto.io.workspace import FinetuneFolder, Workspace
from mixcl_auto.workflows.experiment_status import last_step

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for a process in /proc"),
]

SECONDS = 200


def command(workspace: Workspace, processes: int, *edits: str) -> list[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    edited = [part for edit in edits for part in ("--set", edit)]
    finetune = ["-m", "mixcl_auto", "-w", str(workspace.root), "finetune", "--init", "scratch"]
    start = launcher if processes > 1 else []
    return [sys.executable, *start, *finetune, "--device", "cpu", *edited]


def folder_of(workspace: Workspace) -> FinetuneFolder:
    return workspace.finetune("plan", "Target_Abdomen", "scratch", 1.0, 0, 0)


def second_rank(launcher: int) -> int:
    """The process whose RANK is 1 among a launcher's children."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    found = [pid for pid in children if b"\0RANK=1\0" in Path(f"/proc/{pid}/environ").read_bytes()]
    return int(found[0])


def is_gone(process: int) -> bool:
    try:
        return "Z" in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True


def wait_for_checkpoint(folder: FinetuneFolder, process: "subprocess.Popen[Any]") -> None:
    end = time.monotonic() + SECONDS
    while not folder.checkpoint.exists():
        assert process.poll() is None, "ended before its first checkpoint"
        assert time.monotonic() < end
        time.sleep(0.05)


def test_two_processes_train_and_the_first_predicts_and_scores(fresh_planned_workspace: Workspace) -> None:
    done = subprocess.run(
        command(fresh_planned_workspace, 2), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    assert folder_of(fresh_planned_workspace).scores.is_file()
    assert done.stdout.count("held-out case") == 1
    assert "Grad strides" not in done.stderr


def test_a_killed_process_ends_the_others_and_one_process_goes_on(fresh_planned_workspace: Workspace) -> None:
    workspace, edits = fresh_planned_workspace, ("finetune.iterations=3000", "finetune.checkpoint_every=20")
    folder = folder_of(workspace)
    launcher = subprocess.Popen(command(workspace, 2, *edits), stderr=subprocess.PIPE, text=True)
    wait_for_checkpoint(folder, launcher)
    os.kill(second_rank(launcher.pid), signal.SIGKILL)
    _, errors = launcher.communicate(timeout=SECONDS)
    assert launcher.returncode == 1
    assert "Signal 9 (SIGKILL) received" in errors
    # It noticed the lost process itself, or torchrun's signal came first.
    assert "process 0 of 2: " in errors or "Signal 15 (SIGTERM) received" in errors
    before = last_step(folder.log)
    alone = subprocess.Popen(command(workspace, 1, *edits), stderr=subprocess.PIPE, text=True)
    while last_step(folder.log) <= before and alone.poll() is None:
        time.sleep(0.05)
    alone.send_signal(signal.SIGTERM)
    _, errors = alone.communicate(timeout=SECONDS)
    assert "going on after step" in errors
    assert "its state is saved" in errors


def test_a_killed_launcher_leaves_no_process_behind(fresh_planned_workspace: Workspace) -> None:
    workspace, edits = fresh_planned_workspace, ("finetune.iterations=3000", "finetune.checkpoint_every=20")
    launcher = subprocess.Popen(command(workspace, 2, *edits), stderr=subprocess.DEVNULL)
    wait_for_checkpoint(folder_of(workspace), launcher)
    ranks = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    launcher.kill()
    launcher.wait()
    end = time.monotonic() + SECONDS
    while not all(is_gone(int(rank)) for rank in ranks):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert len(ranks) == 2
