"""A workspace in which everything ran, for the tests that spoil it."""

import shutil
from pathlib import Path

import pytest
from commands import FINETUNE, PRETRAIN, succeed

from mixcl_auto.io.workspace import Workspace


@pytest.fixture(scope="session")
def trained(planned_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A pre-training and a fine-tuning that are finished; copy it before writing to it."""
    workspace = Workspace(tmp_path_factory.mktemp("trained") / "workspace")
    shutil.copytree(planned_workspace.root, workspace.root, symlinks=True)
    for command in (PRETRAIN, FINETUNE):
        succeed(workspace, *command)
    return workspace


@pytest.fixture
def workspace(trained: Workspace, tmp_path: Path) -> Workspace:
    """A copy of it for one test."""
    copy = Workspace(tmp_path / "copy")
    shutil.copytree(trained.root, copy.root, symlinks=True)
    return copy
