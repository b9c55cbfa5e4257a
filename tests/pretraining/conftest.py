import shutil
from pathlib import Path

import pytest
from cached_phantoms import make_workspace

from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.plan import Plan


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Plan]:
    """A cache to read only."""
    return make_workspace(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def cached(shared_cache: tuple[Workspace, Plan], tmp_path: Path) -> tuple[Workspace, Plan]:
    """A workspace of its own for one test, with a copy of the cache."""
    workspace, plan = shared_cache
    shutil.copytree(workspace.root, tmp_path / "workspace", ignore=shutil.ignore_patterns("results"))
    return Workspace(tmp_path / "workspace"), plan
