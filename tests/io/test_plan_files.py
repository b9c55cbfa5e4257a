import pytest

from mixcl_auto.errors import PlanError
from mixcl_auto.io.plans import (
    find_plan,
    read_fingerprint,
    read_plan,
    read_split,
    write_fingerprint,
    write_plan,
    write_split,
)
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.fingerprint import DatasetFingerprint
from mixcl_auto.records.plan import DatasetPlan, Plan
from mixcl_auto.records.split import DatasetSplit, Fold

FINGERPRINT = DatasetFingerprint(
    dataset="D",
    cases=(),
    median_shape=(1, 2, 3),
    median_spacing_mm=(1, 2, 3),
    spacing_percentile_10_mm=(1, 2, 3),
    spacing_percentile_90_mm=(1, 2, 3),
    foreground=None,
)
SPLIT = DatasetSplit(dataset="D", seed=0, folds=(Fold(training=("a",), held_out=("b",)),))


def dataset(fingerprint="", split=None, role="target"):
    return DatasetPlan(
        name="D", role=role, labels={"liver": 1}, cases=("a", "b"), fingerprint=fingerprint, split=split
    )


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path)


def test_a_plan_comes_back(workspace):
    plan = Plan(preset="tiny", datasets=(dataset(),))
    write_plan(workspace.plan("plan"), plan)
    assert read_plan(workspace.plan("plan")) == plan


def test_a_plan_is_found_by_default_name_stem_and_path(workspace, tmp_path):
    for name in ("plan", "other"):
        write_plan(workspace.plan(name), Plan())
    write_plan(tmp_path / "elsewhere.json", Plan())
    assert find_plan(workspace) == workspace.plan("plan")
    assert find_plan(workspace, "other") == workspace.plan("other")
    assert find_plan(workspace, "other.json") == workspace.plan("other")
    assert find_plan(workspace, str(tmp_path / "elsewhere.json")) == tmp_path / "elsewhere.json"


def test_a_missing_plan_lists_those_there_are(workspace):
    write_plan(workspace.plan("small"), Plan())
    with pytest.raises(PlanError, match=r"no plan 'plan' .*there: small\.json.*plan_and_preprocess"):
        find_plan(workspace)


def test_a_path_that_leaves_plans_is_not_looked_up_there(workspace):
    with pytest.raises(PlanError, match="no plan"):
        find_plan(workspace, "../plans/none.json")


def test_every_mistake_of_a_plan_is_named(workspace):
    path = workspace.plan("plan")
    path.parent.mkdir()
    path.write_text('{"preprocess": {"spacing": [1, 1, 1]}, "network": {"layers": 5}}')
    with pytest.raises(PlanError, match=r"(?s)2 mistake.*preprocess\.spacing.*network\.layers"):
        read_plan(path)


def test_fingerprints_and_splits_come_back_by_their_hash(workspace):
    planned = dataset(write_fingerprint(workspace, FINGERPRINT), write_split(workspace, SPLIT))
    assert read_fingerprint(workspace, planned) == FINGERPRINT
    assert read_split(workspace, planned) == SPLIT


def test_a_changed_file_is_named(workspace):
    planned = dataset(write_fingerprint(workspace, FINGERPRINT), write_split(workspace, SPLIT))
    workspace.split("D").write_text(SPLIT.model_copy(update={"seed": 1}).to_json())
    with pytest.raises(PlanError, match=r"splits/D\.json: the file changed after the plan was made"):
        read_split(workspace, planned)
    workspace.fingerprint("D").write_text(
        FINGERPRINT.model_copy(update={"median_shape": (9, 9, 9)}).to_json()
    )
    with pytest.raises(PlanError, match=r"fingerprints/D\.json: the file changed"):
        read_fingerprint(workspace, planned)


def test_an_earlier_plan_keeps_its_fingerprint_and_folds_when_a_later_one_has_others(workspace):
    earlier = dataset(write_fingerprint(workspace, FINGERPRINT), write_split(workspace, SPLIT))
    other_fingerprint = FINGERPRINT.model_copy(update={"median_shape": (9, 9, 9)})
    other_split = SPLIT.model_copy(update={"seed": 1})
    later = dataset(write_fingerprint(workspace, other_fingerprint), write_split(workspace, other_split))
    assert (read_fingerprint(workspace, earlier), read_split(workspace, earlier)) == (FINGERPRINT, SPLIT)
    assert (read_fingerprint(workspace, later), read_split(workspace, later)) == (
        other_fingerprint,
        other_split,
    )
    assert dataset(write_fingerprint(workspace, FINGERPRINT), write_split(workspace, SPLIT)) == earlier
    assert read_split(workspace, later) == other_split


def test_a_malformed_file_is_replaced(workspace):
    workspace.split("D").parent.mkdir(parents=True)
    workspace.split("D").write_bytes(b"\xff{")
    planned = dataset(split=write_split(workspace, SPLIT))
    assert read_split(workspace, planned) == SPLIT


def test_a_pool_dataset_has_no_folds(workspace):
    with pytest.raises(PlanError, match="D has no folds: its role is 'pretrain'"):
        read_split(workspace, dataset(role="pretrain"))
