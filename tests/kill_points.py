"""A run that is killed at every single point where it touches the disk, and goes on.

A program of its own, since it forks: ``python tests/kill_points.py pretraining FOLDER --stride 6``.
"""

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from cached_phantoms import TARGET, edited, make_workspace
from pipeline_runs import differences, results

from mixcl_auto.finetuning.finetune import finetune
from mixcl_auto.inference.predict import predict_held_out
from mixcl_auto.io.run_lock import run_lock
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.pretraining.pretrain import find_folder, pretrain
from mixcl_auto.records.plan import Plan
from mixcl_auto.training import loop

TOUCHES: tuple[tuple[Any, str], ...] = (
    (Path, "replace"),
    (Path, "rename"),
    (Path, "unlink"),
    (os, "fsync"),
)

Work = Callable[[Workspace, Plan], None]


def pretraining(workspace: Workspace, plan: Plan) -> None:
    """Three steps with a checkpoint each, and the encoder."""
    plan = edited(plan, "pretrain", iterations=3, checkpoint_every=1)
    with run_lock(find_folder(workspace, plan, "plan")):
        pretrain(workspace, plan, "plan", device="cpu")


def finetuning(workspace: Workspace, plan: Plan) -> None:
    """Two steps with a checkpoint each, and the predictions."""
    plan = edited(plan, "finetune", iterations=2, checkpoint_every=1)
    folder = workspace.finetune("plan", TARGET, "scratch", 1.0, 0, plan.finetune.seed)
    with run_lock(folder):
        finetune(workspace, plan, "plan", dataset=TARGET, fold=0, fraction=1.0, init="scratch", device="cpu")
        predict_held_out(workspace, folder, device="cpu")


WORKS: dict[str, Work] = {"pretraining": pretraining, "finetuning": finetuning}


@contextmanager
def killed_at(point: int) -> Iterator[None]:
    """The process kills itself just before its so-manieth touch of the disk, counted from 0."""
    left = point
    before = [(owner, name, getattr(owner, name)) for owner, name in TOUCHES]

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def touch(*arguments: Any, **options: Any) -> Any:
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


def run_in_fork(work: Work, workspace: Workspace, plan: Plan, point: int | None = None) -> int:
    """The exit code of a process of its own that does the work."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        if point is None:
            work(workspace, plan)
        else:
            with killed_at(point):
                work(workspace, plan)
        code = 0
    finally:
        os._exit(code)


def kill_everywhere(work: Work, root: Path, stride: int) -> int:
    """Kill at every so-manieth point, and compare what the next call leaves.

    Returns:
        How many points there are, about.

    Raises:
        AssertionError: if a call fails, or leaves other files.
    """
    cache, plan = make_workspace(root / "cache")
    shutil.copytree(cache.root, root / "whole")
    assert run_in_fork(work, Workspace(root / "whole"), plan) == 0
    expected = results(root / "whole")
    point, code = 0, -signal.SIGKILL
    while code == -signal.SIGKILL:
        workspace = Workspace(root / str(point))
        shutil.copytree(cache.root, workspace.root)
        code = run_in_fork(work, workspace, plan, point)
        if code == -signal.SIGKILL:
            assert run_in_fork(work, workspace, plan) == 0, f"killed at touch {point}"
        assert differences(expected, results(workspace.root)) == ([], []), f"killed at touch {point}"
        shutil.rmtree(workspace.root)
        point += stride
    assert code == 0
    return point


def main() -> int:
    """Print how many points there are."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("work", choices=list(WORKS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--stride", type=int, default=1)
    wanted = parser.parse_args()
    torch.set_num_threads(1)  # a fork has none of the threads that its parent would compute with
    loop.draw_curves = lambda *_, **__: None  # most of the time, and no result
    points = kill_everywhere(WORKS[wanted.work], wanted.folder, wanted.stride)
    print(f"{wanted.work}: killed at {points // wanted.stride - 1} points, {wanted.stride} apart")
    return 0


if __name__ == "__main__":
    sys.exit(main())
