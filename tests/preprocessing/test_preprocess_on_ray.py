"""The cache that Ray fills is the one that this machine's processes fill."""

from pathlib import Path

import pytest
from ray_cluster import two_nodes

from mixcl_auto.errors import RunError
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.workflows.plan_and_preprocess import plan_and_preprocess

pytest.importorskip("ray")

SPACING = (12.0, 12.0, 13.0)


@pytest.fixture(scope="module")
def cluster():
    with two_nodes() as cluster:
        yield cluster


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.usefixtures("cluster")
def test_the_cache_is_equal_byte_for_byte(
    planned_workspace: Workspace, phantom_workspace: Workspace, tiny_edits, monkeypatch
) -> None:
    monkeypatch.chdir(phantom_workspace.root)  # Ray's workers have a working folder of their own
    monkeypatch.setattr("mixcl_auto.preprocessing.preprocess.write_case", None)  # not in this process
    done = plan_and_preprocess(
        Workspace(Path()), preset="tiny", spacing=SPACING, edits=tiny_edits, jobs=1, engine="ray"
    )
    assert done.failures == ()
    expected = contents(planned_workspace.preprocessed)
    assert len([name for name in expected if name.endswith("case.json")]) == 9
    assert contents(phantom_workspace.preprocessed) == expected


@pytest.mark.usefixtures("cluster")
def test_a_case_that_fails_is_named_and_the_others_are_done(copied_phantoms: Workspace, tiny_edits) -> None:
    def damage(plan):
        scan = sorted((copied_phantoms.raw_data / "Pool_Liver" / "imagesTr").iterdir())[0]
        scan.write_bytes(scan.read_bytes() + b"0")

    done = plan_and_preprocess(
        copied_phantoms, preset="tiny", spacing=SPACING, edits=tiny_edits, engine="ray", on_plan=damage
    )
    (failure,) = done.failures
    assert (failure.dataset, failure.case) == ("Pool_Liver", "pool_liver_000")
    assert "truncated or damaged" in failure.message
    assert len(list(copied_phantoms.preprocessed.rglob("case.json"))) == 8


def test_an_engine_that_can_not_be_used_is_refused_before_data_are_read(phantom_workspace: Workspace) -> None:
    with pytest.raises(RunError, match="local runs on this machine; leave out the address auto"):
        plan_and_preprocess(phantom_workspace, preset="tiny", address="auto")
    assert not phantom_workspace.validation.exists()
