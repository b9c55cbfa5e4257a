"""How far a GPU repeats itself: run by hand on a machine that has one, ``python tests/gpu_repeats.py``.

Trains each method twice from the same seed, with and without ``deterministic``, and once stopped and resumed.
``--device cpu`` tries the script itself.
"""

import argparse
import csv
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from cached_phantoms import TARGET, edited, make_workspace

from mixcl_auto.errors import RunError
from mixcl_auto.finetuning.finetune import finetune
from mixcl_auto.io.checkpoints import load_checkpoint
from mixcl_auto.io.workspace import RunFolder, Workspace
from mixcl_auto.pretraining.pretrain import pretrain
from mixcl_auto.records.plan import NetworkPlan, Plan
from mixcl_auto.training.environment import device_name
from mixcl_auto.training.failed_step import read_failed_step

NETWORK = NetworkPlan(
    patch_size=(64, 64, 64), feature_size=16, hidden_size=192, mlp_size=768, heads=6, layers=12
)
STOP_AFTER = 7
Train = Callable[[Workspace, Plan, str, str, int | None], RunFolder]
"""Workspace, plan, name of the run, device, and after how many steps to stop."""


@dataclass(frozen=True)
class Method:
    """A section of the plan, and how a run of it is trained under a name."""

    name: str
    section: str
    train: Train


def _pretrain(method: str) -> Train:
    def train(workspace: Workspace, plan: Plan, name: str, device: str, stop_after: int | None) -> RunFolder:
        chosen = edited(plan, "pretrain", method=method)
        folder: RunFolder = pretrain(
            workspace, chosen, "plan", name=name, device=device, stop_after=stop_after
        )
        return folder

    return train


def _finetune(workspace: Workspace, plan: Plan, name: str, device: str, stop_after: int | None) -> RunFolder:
    return finetune(
        workspace,
        plan,
        name,
        dataset=TARGET,
        fold=0,
        fraction=1.0,
        init="scratch",
        device=device,
        stop_at=stop_after,
    )


METHODS = (
    Method("mixcl", "pretrain", _pretrain("mixcl")),
    Method("supervised", "pretrain", _pretrain("supervised")),
    Method("finetune", "finetune", _finetune),
)


def weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    """The network of a run's last checkpoint."""
    state = load_checkpoint(folder.checkpoint)
    assert state is not None
    return dict(state["network"])


def losses(folder: RunFolder) -> list[float]:
    """The second loss column of each step: the total, or the loss."""
    with folder.log.open() as file:
        rows = list(csv.DictReader(file))
    name = "total" if "total" in rows[0] else "loss"
    return [float(row[name]) for row in rows]


def distance(first: RunFolder, second: RunFolder) -> tuple[float, float]:
    """The largest difference of the weights over their norm, and of the losses over the first."""
    pairs = zip(weights(first).values(), weights(second).values(), strict=True)
    parts = [(float((a - b).double().square().sum()), float(a.double().square().sum())) for a, b in pairs]
    moved = (sum(part for part, _ in parts) / sum(whole for _, whole in parts)) ** 0.5
    of_losses = [abs(a - b) / abs(a) for a, b in zip(losses(first), losses(second), strict=True)]
    return moved, max(of_losses)


def same(first: RunFolder, second: RunFolder) -> bool:
    """Whether logs and weights are equal to the bit."""
    pairs = zip(weights(first).values(), weights(second).values(), strict=True)
    return first.log.read_bytes() == second.log.read_bytes() and all(torch.equal(a, b) for a, b in pairs)


def compare(workspace: Workspace, plan: Plan, method: Method, precision: str, device: str) -> bool:
    """Print a row of the table; whether the exact runs were exact."""
    tag = f"{method.name}_{precision}"
    runs: dict[str, RunFolder] = {}
    seconds: dict[str, float] = {}
    for kind, exact in (("loose_1", False), ("loose_2", False), ("exact_1", True), ("exact_2", True)):
        chosen = edited(plan, method.section, precision=precision, deterministic=exact)
        began = time.monotonic()
        runs[kind] = method.train(workspace, chosen, f"{tag}_{kind}", device, None)
        seconds[kind] = time.monotonic() - began
    exact_plan = edited(plan, method.section, precision=precision, deterministic=True)
    method.train(workspace, exact_plan, f"{tag}_parts", device, STOP_AFTER)
    parts = method.train(workspace, exact_plan, f"{tag}_parts", device, None)
    moved, of_losses = distance(runs["loose_1"], runs["loose_2"])
    is_exact, resumes = same(runs["exact_1"], runs["exact_2"]), same(runs["exact_1"], parts)
    print(
        f"| {method.name} | {precision} | {moved:.1e} | {of_losses:.1e} | {is_exact} | {resumes} "
        f"| {seconds['exact_2'] / seconds['loose_2']:.2f} |",
        flush=True,
    )
    return is_exact and resumes


def keeps_failed_step(workspace: Workspace, plan: Plan, device: str) -> bool:
    """Whether a run that explodes leaves the weights before the step, though values come back late."""
    explosive = edited(plan, "finetune", learning_rate=1e30, precision="auto")
    with suppress(RunError):
        _finetune(workspace, explosive, "explosive", device, None)
    path = workspace.finetune("explosive", TARGET, "scratch", 1.0, 0, plan.finetune.seed).failed_step
    failed = read_failed_step(path)
    finite = all(bool(torch.isfinite(tensor).all()) for tensor in failed.network.values())
    print(f"exploding run: step {failed.step} kept, weights before it finite: {finite}", flush=True)
    return finite


def main() -> int:
    """Print the table; 1 if an exact run was not exact."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="cuda")
    wanted = parser.parse_args()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    device = torch.device(wanted.device)
    print(f"{device_name(device)}, torch {torch.__version__}, {wanted.steps} steps", flush=True)
    workspace, plan = make_workspace(Path(tempfile.mkdtemp(prefix="gpu_repeats_")))
    if device.type == "cuda":
        plan = plan.model_copy(update={"network": NETWORK})
    for section in ("pretrain", "finetune"):
        plan = edited(plan, section, iterations=wanted.steps, batch_size=2, checkpoint_every=5, workers=2)
    print("| method | precision | weights differ by | losses by | exact | resumes exactly | time of exact |")
    print("|---|---|---|---|---|---|---|")
    sound = [
        compare(workspace, plan, method, precision, wanted.device)
        for method in METHODS
        for precision in ("fp32", "bf16")
    ]
    sound.append(keeps_failed_step(workspace, plan, wanted.device))
    return 0 if all(sound) else 1


if __name__ == "__main__":
    sys.exit(main())
