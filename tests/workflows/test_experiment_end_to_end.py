"""A small grid with real processes: stopped half-way and completed; and on a cluster that loses a node."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ray_cluster import two_nodes

import mixcl_auto
from mixcl_auto.io.plans import read_plan, write_plan
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.plan_edits import edit_plan
from mixcl_auto.workflows.experiment_status import Entry, Overview
from mixcl_auto.workflows.experiment_units import GridUnit

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
    assert process.returncode == 75
    assert "SIGTERM stopped the experiment with 1 of 3 runs done" in rest
    stopped = mixcl_auto.experiment_status(root, table="1")
    assert [entry.unit.name for entry in stopped.of("done")] == ["pre-training mixcl"]
    assert not stopped.of("running", "elsewhere", "failed")

    command[command.index("--jobs") + 1] = "2"
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"All 3 runs are done; `mixcl_auto -w {root} report` writes the tables.\n"
    assert done.stderr.count("done: ") == 2
    completed = mixcl_auto.experiment_status(root, table="1")
    assert len(completed.of("done")) == 3
    found = {entry.unit.name: attempts(entry.unit.folder.output) for entry in completed.entries}
    assert all(finished == 1 for _, finished in found.values()), found
    assert found["pre-training mixcl"] == (1, 1)

    again = mixcl_auto.experiment(root, table="1", device="cpu")
    assert len(again.of("done")) == 3
    assert {entry.unit.name: attempts(entry.unit.folder.output) for entry in again.entries} == found


class LosesANode:
    """Takes the second node away when some runs are done and both nodes are before the end of a training."""

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster
        self.hit: list[GridUnit] = []

    def changed(self, entry: Entry, overview: Overview) -> None:
        pass

    def tick(self, overview: Overview) -> None:
        at_work = overview.of("running")
        training = [entry for entry in at_work if entry.step < entry.unit.steps]
        if self.hit or len(training) < 2 or len(overview.of("done")) < 3:
            return
        (second,) = self.cluster.worker_nodes
        self.cluster.remove_node(second, allow_graceful=False)
        self.hit = [entry.unit for entry in at_work]


@pytest.mark.slow
def test_a_grid_on_a_cluster_that_loses_a_node_is_completed_and_equals_the_local_one(
    fresh_planned_workspace: Workspace, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    path = fresh_planned_workspace.plan("plan")
    inits = 'experiment.inits=["scratch","scratch-2","mixcl"]'
    write_plan(path, edit_plan(read_plan(path), [inits]))
    roots = [tmp_path / name for name in ("ray", "local")]
    for root in roots:
        shutil.copytree(fresh_planned_workspace.root, root, symlinks=True)

    with two_nodes() as cluster:
        watcher = LosesANode(cluster)
        on_ray = mixcl_auto.experiment(roots[0], table="1", engine="ray", device="cpu", watcher=watcher)
    here = mixcl_auto.experiment(roots[1], table="1", jobs=2, device="cpu")

    assert len(on_ray.of("done")) == len(here.of("done")) == len(here.entries) == 7
    found = {entry.unit.name: attempts(entry.unit.folder.output) for entry in on_ray.entries}
    assert all(finished == 1 for _, finished in found.values()), found
    assert sorted(found[unit.name][0] for unit in watcher.hit) == [1, 2]
    for first, second in zip(on_ray.entries, here.entries, strict=True):
        assert first.unit.folder.log.read_bytes() == second.unit.folder.log.read_bytes(), first.unit.name
        if not first.unit.is_pretraining:
            scores = [entry.unit.folder.path / "scores.csv" for entry in (first, second)]
            assert scores[0].read_bytes() == scores[1].read_bytes(), first.unit.name
