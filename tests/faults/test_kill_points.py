"""A run that is killed at every single point where it touches the disk goes on to the same end."""

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import pytest
from cached_phantoms import TARGET, edited, make_workspace
from pipeline_runs import differences, results

from mixcl_auto.finetuning.finetune import finetune
from mixcl_auto.inference.predict import predict_held_out
from mixcl_auto.io.run_lock import run_lock
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.pretraining.pretrain import find_folder, pretrain
from mixcl_auto.records.plan import Plan

STRIDE = 1 if os.environ.get("KILL_POINTS") == "all" else 6
"""Of the points that are tried: ``make soak`` tries all."""
TOUCHES = ((Path, "replace"), (Path, "rename"), (Path, "unlink"), (os, "fsync"))
MOST = 200

Work = Callable[[Workspace, Plan], None]


def pretraining(workspace: Workspace, plan: Plan) -> None:
    plan = edited(plan, "pretrain", iterations=3, checkpoint_every=1)
    with run_lock(find_folder(workspace, plan, "plan")):
        pretrain(workspace, plan, "plan", device="cpu")


def fine_tuning(workspace: Workspace, plan: Plan) -> None:
    plan = edited(plan, "finetune", iterations=2, checkpoint_every=1)
    folder = workspace.finetune("plan", TARGET, "scratch", 1.0, 0, plan.finetune.seed)
    with run_lock(folder):
        finetune(workspace, plan, "plan", dataset=TARGET, fold=0, fraction=1.0, init="scratch", device="cpu")
        predict_held_out(workspace, "plan", folder, device="cpu")


@contextmanager
def killed_at(point: int):
    """The process kills itself just before its so-manieth touch of the disk, counted from 0."""
    left = point
    before = [(owner, name, getattr(owner, name)) for owner, name in TOUCHES]

    def dying(function):
        def touch(*arguments, **options):
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return function(*arguments, **options)

        return touch

    for owner, name, function in before:
        setattr(owner, name, dying(function))
    try:
        yield
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)


def run_in_child(work: Work, workspace: Workspace, plan: Plan, point: int | None = None) -> int:
    """The exit code of a process of its own that does the work."""

    def target() -> None:
        if point is None:
            work(workspace, plan)
        else:
            with killed_at(point):
                work(workspace, plan)

    child = get_context("fork").Process(target=target)
    child.start()
    child.join()
    assert child.exitcode is not None
    return child.exitcode


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    return make_workspace(tmp_path_factory.mktemp("cache"))


@pytest.mark.slow
@pytest.mark.parametrize("work", [pretraining, fine_tuning])
def test_killed_at_every_touch_of_the_disk_a_run_ends_alike(cached, tmp_path, work):
    cache, plan = cached
    shutil.copytree(cache.root, tmp_path / "whole")
    assert run_in_child(work, Workspace(tmp_path / "whole"), plan) == 0
    expected = results(tmp_path / "whole")
    point, code = 0, -signal.SIGKILL
    while code == -signal.SIGKILL:
        assert point < MOST
        workspace = Workspace(tmp_path / str(point))
        shutil.copytree(cache.root, workspace.root)
        code = run_in_child(work, workspace, plan, point)
        if code == -signal.SIGKILL:
            assert run_in_child(work, workspace, plan) == 0, f"killed at touch {point}"
        assert differences(expected, results(workspace.root)) == ([], []), f"killed at touch {point}"
        shutil.rmtree(workspace.root)
        point += STRIDE
    assert code == 0
    assert point > 10
