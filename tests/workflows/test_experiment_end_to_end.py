"""A small grid with real processes: stopped half-way, completed, and then nothing left to do."""

import signal
import subprocess
import sys
from pathlib import Path

import mixcl_auto
from mixcl_auto.io.plans import read_plan, write_plan
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.plan_edits import edit_plan

EDITS = ("experiment.fractions=[0.25]", 'experiment.inits=["scratch","mixcl"]', "pretrain.iterations=2")


def attempts(log: Path) -> tuple[int, int]:
    """How often a command was started, and how often it said what a finished one says."""
    text = log.read_text()
    return text.count("##### "), text.count("\nThe encoder is ") + text.count("\nThe run is ")


def test_a_grid_that_was_stopped_is_completed_and_nothing_is_done_twice(
    fresh_planned_workspace: Workspace,
) -> None:
    root = fresh_planned_workspace.root
    path = fresh_planned_workspace.plan("plan")
    write_plan(path, edit_plan(read_plan(path), EDITS))
    arguments = ["-w", str(root), "experiment", "--table", "1", "--jobs", "1", "--device", "cpu"]
    command = [sys.executable, "-m", "mixcl_auto", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("done: "):
                process.send_signal(signal.SIGTERM)
                break
        rest = process.stderr.read()
    assert process.returncode == 1
    assert "SIGTERM stopped the experiment with 1 of 3 runs done" in rest
    stopped = mixcl_auto.experiment_status(root, table="1")
    assert [entry.unit.name for entry in stopped.of("done")] == ["pre-training mixcl"]
    assert not stopped.of("running", "elsewhere", "failed")

    completed = mixcl_auto.experiment(root, table="1", jobs=2, device="cpu")
    assert len(completed.of("done")) == 3
    found = {entry.unit.name: attempts(entry.unit.folder.output) for entry in completed.entries}
    assert all(finished == 1 for _, finished in found.values()), found
    assert found["pre-training mixcl"] == (1, 1)

    again = mixcl_auto.experiment(root, table="1", device="cpu")
    assert len(again.of("done")) == 3
    assert {entry.unit.name: attempts(entry.unit.folder.output) for entry in again.entries} == found
