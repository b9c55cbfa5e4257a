"""Fixtures that tests of several packages share."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mixcl_auto.io.workspace import Workspace
from mixcl_auto.workflows.phantom_datasets import PhantomDataset, write_phantom_datasets

# As the command line does, before torch is loaded: spinning threads of two test processes starve each other.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    # Ignored in a suite that a shell started in the background or under nohup, and in all that it starts.
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)

TINY_DATASETS = (
    PhantomDataset("Pool_Liver", "pretrain", ("liver",), 2, ("LPS", "RAS")),
    PhantomDataset("Pool_Kidneys", "pretrain", ("right_kidney", "left_kidney"), 2, ("PIR",)),
    PhantomDataset("Target_Abdomen", "target", ("spleen", "liver", "aorta"), 5, ("LPS", "ASL"), 2.0),
)

TINY_EDITS = (
    "finetune.flip_probability=0.2",  # for predictions with flips
    "network.patch_size=[32,16,16]",
    "network.feature_size=4",
    "network.hidden_size=24",
    "network.mlp_size=48",
    "network.heads=2",
    "pretrain.iterations=4",
    "pretrain.batch_size=2",
    "pretrain.voxels_per_class=16",
    "pretrain.gradient_every=2",
    "pretrain.threads=1",
    "pretrain.workers=0",
    "finetune.iterations=6",
    "finetune.threads=1",
    "finetune.workers=0",
    "experiment.fractions=[0.25,1.0]",
    "experiment.folds=[0]",
)
"""Edits of the preset ``tiny`` with which a step takes milliseconds."""


SIGTERM_BEFORE = signal.getsignal(signal.SIGTERM)


@pytest.fixture(autouse=True)
def usual_sigterm() -> Iterator[None]:
    """Ray leaves a handler of SIGTERM behind, which forks of later tests would inherit and not end by."""
    yield
    signal.signal(signal.SIGTERM, SIGTERM_BEFORE)


@pytest.fixture(scope="session")
def phantom_raw_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder ``raw_data`` with a pool of two datasets and a target, of about 30 x 22 x 17 voxels."""
    raw_data = tmp_path_factory.mktemp("phantoms") / "raw_data"
    write_phantom_datasets(raw_data, TINY_DATASETS, spacing_mm=(12.0, 12.0, 13.0))
    return raw_data


@pytest.fixture
def phantom_workspace(phantom_raw_data: Path, tmp_path: Path) -> Workspace:
    """A workspace of its own for one test, on the shared phantoms."""
    workspace = Workspace(tmp_path / "workspace")
    workspace.root.mkdir()
    workspace.raw_data.symlink_to(phantom_raw_data)
    return workspace


@pytest.fixture
def copied_phantoms(phantom_raw_data: Path, tmp_path: Path) -> Workspace:
    """A workspace with its own copy of the phantoms, to damage."""
    workspace = Workspace(tmp_path / "workspace")
    shutil.copytree(phantom_raw_data, workspace.raw_data)
    return workspace


@pytest.fixture(scope="session")
def planned_workspace(phantom_raw_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A planned and preprocessed workspace, shared: copy it before writing to it."""
    from mixcl_auto.workflows.plan_and_preprocess import plan_and_preprocess

    workspace = Workspace(tmp_path_factory.mktemp("planned"))
    workspace.raw_data.symlink_to(phantom_raw_data)
    plan_and_preprocess(workspace, preset="tiny", spacing=(12.0, 12.0, 13.0), edits=TINY_EDITS, jobs=1)
    return workspace


@pytest.fixture
def fresh_planned_workspace(planned_workspace: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the planned workspace for one test."""
    root = tmp_path / "planned"
    shutil.copytree(planned_workspace.root, root, symlinks=True)
    return Workspace(root)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real CT beside the project, as a ``raw_data`` folder; the test is skipped without it."""
    raw_data = Path(__file__).resolve().parents[2] / "shared" / "data" / "raw_data"
    if not raw_data.is_dir():
        pytest.skip("needs the real CT beside the project")
    return raw_data


@pytest.fixture(scope="session")
def tiny_edits() -> tuple[str, ...]:
    """Edits with which the preset ``tiny`` trains in seconds."""
    return TINY_EDITS
