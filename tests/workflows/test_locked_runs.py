"""Two commands on one run at once: the second one is refused, whatever it wants to do there."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from processes import held_elsewhere

import mixcl_auto
from mixcl_auto.errors import RunError
from mixcl_auto.io.workspace import RunFolder, Workspace


def test_a_pretraining_and_a_finetuning_that_others_work_on_are_refused(
    fresh_planned_workspace: Workspace,
) -> None:
    workspace = fresh_planned_workspace
    runs: list[tuple[RunFolder, Callable[[], object]]] = [
        (workspace.pretrain("plan", "mixcl"), partial(mixcl_auto.pretrain, workspace, device="cpu")),
        (
            workspace.finetune("plan", "Target_Abdomen", "scratch", 1.0, 0, 0),
            partial(mixcl_auto.finetune, workspace, init="scratch", device="cpu"),
        ),
    ]
    for folder, command in runs:
        with held_elsewhere(folder) as other:
            with pytest.raises(RunError, match=f"process {other} on .* has been working on this run"):
                command()
            assert not folder.run.exists()


def test_what_was_mistyped_leaves_no_folder(fresh_planned_workspace: Workspace) -> None:
    results: Path = fresh_planned_workspace.results
    with pytest.raises(RunError, match="has no pre-training 'mixl'"):
        mixcl_auto.finetune(fresh_planned_workspace, init="mixl", device="cpu")
    with pytest.raises(RunError, match=r"has no pre-training 'foo\.bar'") as refused:
        mixcl_auto.finetune(fresh_planned_workspace, init="foo.bar", device="cpu")
    assert "--name" not in str(refused.value)  # no pre-training can be called so
    with pytest.raises(RunError, match="can't be called"):
        mixcl_auto.pretrain(fresh_planned_workspace, name="scratch", device="cpu")
    assert not list(results.rglob("*"))
