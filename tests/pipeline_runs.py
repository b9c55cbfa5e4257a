"""The whole pipeline as commands, on a few phantoms and with a small network; and what it must leave."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from mixcl_auto.io.checkpoints import read_state
from mixcl_auto.workflows.phantom_datasets import PhantomDataset, write_phantom_datasets

DATASETS = (
    PhantomDataset("Phantom_Liver", "pretrain", ("liver",), 2, ("LPS", "RAS")),
    PhantomDataset("Phantom_Vessels", "pretrain", ("aorta", "spinal_cord"), 2, ("LAS",), 4.0, 0.85),
    PhantomDataset("Phantom_Abdomen", "target", ("spleen", "right_kidney", "left_kidney"), 5, ("PIR",)),
)
TARGET = "Phantom_Abdomen"
EDITS = (
    "network.patch_size=[32,32,32]",
    "network.feature_size=4",
    "network.hidden_size=24",
    "network.mlp_size=48",
    "network.heads=2",
    "network.layers=4",
    "pretrain.batch_size=2",
    "pretrain.iterations=16",
    "pretrain.checkpoint_every=3",
    "pretrain.gradient_every=5",
    "finetune.iterations=16",
    "finetune.checkpoint_every=3",
    "experiment.folds=[0]",
    "experiment.fractions=[1.0]",
    'experiment.inits=["scratch","mixcl"]',
)
SPACING = ("--spacing", "6", "6", "6")
TIMES = frozenset({"timing.csv", "progress.png", "run.lock", "run.log"})
"""Files of a run that tell of its time and of the process, not of the result."""


@dataclass(frozen=True)
class Stage:
    """One command."""

    name: str
    arguments: tuple[str, ...]


def make_raw_data(folder: Path) -> None:
    """Write the phantoms."""
    write_phantom_datasets(folder, DATASETS)


def stages(raw_data: Path) -> tuple[Stage, ...]:
    """Every stage, in order."""
    edits = [part for edit in EDITS for part in ("--set", edit)]
    plan = ("plan_and_preprocess", "--raw-data", str(raw_data), "--preset", "tiny", *SPACING)
    scans = str(raw_data / TARGET / "imagesTr")
    wanted = ("--preview", "--statistics", "--probabilities")
    return (
        Stage("plan_and_preprocess", (*plan, *edits)),
        Stage("pretrain", ("pretrain",)),
        Stage("pretrain supervised", ("pretrain", "--method", "supervised")),
        Stage("finetune scratch", ("finetune", "--init", "scratch")),
        Stage("finetune", ("finetune",)),
        Stage("predict", ("predict", "-i", scans, "-o", "predictions", *wanted)),
        Stage("report", ("report",)),
        Stage("export", ("export", "segmenter", "-o", "exported", "--force")),
    )


def arguments(workspace: Path, stage: Stage) -> list[str]:
    """Those of the program; relative paths are the workspace's."""
    return ["-w", str(workspace), *stage.arguments]


def environment() -> dict[str, str]:
    """One thread per process, so that several pipelines share a machine."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def start(workspace: Path, stage: Stage) -> "subprocess.Popen[str]":
    """Start a command in a session of its own."""
    workspace.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "mixcl_auto", *arguments(workspace, stage)],
        cwd=workspace,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(workspace: Path, stage: Stage) -> None:
    """Run a command to its end."""
    with start(workspace, stage) as process:
        said, _ = process.communicate()
    assert process.returncode == 0, f"{stage.name} ended with {process.returncode}:\n{said}"


def results(workspace: Path) -> dict[str, str]:
    """Every file that tells of a result, as its path and the hash of its content: of the bytes, mostly."""
    return {
        str(path.relative_to(workspace)): _state_hash(path) if path.suffix == ".pt" else _file_hash(path)
        for path in sorted(workspace.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.name not in TIMES
    }


def _file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _state_hash(path: Path) -> str:
    """Of a training state's values: pickle also notes which are one object, and resuming forgets that."""
    digest = hashlib.sha256()

    def take(value: object, name: str) -> None:
        digest.update(name.encode())
        if isinstance(value, dict):
            for key in sorted(value, key=str):
                take(value[key], f"/{key}")
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                take(item, f"/{index}")
        elif isinstance(value, torch.Tensor):
            digest.update(
                f"{value.dtype} {tuple(value.shape)}".encode() + value.contiguous().numpy().tobytes()
            )
        else:
            digest.update(repr(value).encode())

    take(read_state(path), "")
    return digest.hexdigest()


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The files that are lost, and those that are not the same or should not be there."""
    lost = sorted(expected.keys() - found.keys())
    other = sorted(name for name in found if expected.get(name) != found[name])
    return lost, other
