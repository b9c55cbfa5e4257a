"""Which datasets are planned with, and what happens to a plan of the same name."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from mixcl_auto.errors import DataError, PlanError
from mixcl_auto.io.files import write_text
from mixcl_auto.io.plans import find_plan, read_plan
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.workflows import plan_and_preprocess as workflow
from mixcl_auto.workflows.plan_and_preprocess import Preparation, plan_and_preprocess
from mixcl_auto.workflows.validate import validate


def plan_only(workspace: Workspace, **wishes: Any) -> Preparation:
    return plan_and_preprocess(
        workspace, **({"preset": "tiny", "spacing": (12, 12, 13), "jobs": 1, "plan_only": True} | wishes)
    )


def names(done: Preparation) -> list[str]:
    return [dataset.name for dataset in done.plan.datasets]


def test_raw_data_elsewhere_are_linked_and_named(
    phantom_raw_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = Workspace(tmp_path / "new")
    with caplog.at_level(logging.INFO, "mixcl_auto"):
        done = plan_only(workspace, raw_data=phantom_raw_data)
    assert names(done) == ["Pool_Kidneys", "Pool_Liver", "Target_Abdomen"]
    assert (workspace.raw_data / "Pool_Liver").readlink() == phantom_raw_data / "Pool_Liver"
    assert f"linked into {workspace.raw_data}: Pool_Kidneys, Pool_Liver, Target_Abdomen" in caplog.text
    caplog.clear()
    plan_only(workspace, raw_data=phantom_raw_data)
    assert "linked" not in caplog.text


def test_one_dataset_elsewhere_joins_those_of_the_workspace(phantom_raw_data: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    plan_only(workspace, raw_data=phantom_raw_data / "Target_Abdomen")
    done = plan_only(workspace, raw_data=phantom_raw_data / "Pool_Liver")
    assert names(done) == ["Pool_Liver", "Target_Abdomen"]


def test_only_the_datasets_named_are_read_linked_and_planned(phantom_raw_data: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    (broken := workspace.raw_data / "Broken").mkdir(parents=True)
    (broken / "dataset.json").write_text("{")
    chosen = ["Target_Abdomen", "Pool_Liver"]
    done = plan_only(workspace, raw_data=phantom_raw_data, datasets=chosen)
    assert sorted(names(done)) == sorted(chosen)
    assert sorted(path.name for path in workspace.raw_data.iterdir()) == ["Broken", *sorted(chosen)]
    assert not [found for found in done.findings if found.dataset == "Broken"]


def test_validate_links_raw_data_too(phantom_raw_data: Path, tmp_path: Path) -> None:
    checked = validate(tmp_path, raw_data=phantom_raw_data, datasets=["Pool_Liver"], jobs=1)
    assert checked.datasets == ("Pool_Liver",)
    assert [path.name for path in (tmp_path / "raw_data").iterdir()] == ["Pool_Liver"]


def test_a_dataset_that_is_not_there_is_refused(phantom_workspace: Workspace) -> None:
    with pytest.raises(DataError, match=r"no dataset '?Liver'?; there are: Pool_Kidneys, Pool_Liver"):
        plan_only(phantom_workspace, datasets=["Liver"])


def test_a_role_does_not_choose_a_dataset(phantom_workspace: Workspace) -> None:
    with pytest.raises(
        PlanError, match="no dataset Pool_Kidneys among those to plan with; there are: Pool_L"
    ):
        plan_only(phantom_workspace, datasets=["Pool_Liver"], pretrain=["Pool_Kidneys"])


@pytest.mark.parametrize(("preset", "told"), [("balanced", True), ("tiny", False)])
def test_without_a_gpu_the_preset_for_a_cpu_is_named_before_anything_is_measured(
    phantom_workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    preset: str,
    told: bool,
) -> None:
    def measure(*_: object, **__: object) -> None:
        raise PlanError("would be measured now")

    machine = workflow.describe_machine().model_copy(update={"accelerators": ()})
    monkeypatch.setattr(workflow, "describe_machine", lambda: machine)
    monkeypatch.setattr(workflow, "make_plan", measure)
    with caplog.at_level(logging.INFO, "mixcl_auto"), pytest.raises(PlanError, match="measured now"):
        plan_only(phantom_workspace, preset=preset)
    assert ("--preset tiny is made for a CPU" in caplog.text) is told


def test_a_plan_edited_by_hand_is_kept_beside_the_new_one(
    phantom_workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    first = plan_only(phantom_workspace)
    assert first.kept is None
    document = json.loads(first.path.read_text())
    document["finetune"]["iterations"] = 77
    edited = json.dumps(document)
    first.path.write_text(edited)
    write_text(phantom_workspace.pretrain("plan", "mixcl").run, "{}")
    with caplog.at_level(logging.INFO, "mixcl_auto"):
        second = plan_only(phantom_workspace)
    assert "holds 1 run(s) of the plan before" in caplog.text
    assert f"to go back, move {second.kept} to {first.path}" in caplog.text
    assert f"another plan was there; it is kept as {second.kept}" in caplog.text
    assert second.kept == phantom_workspace.plans / "plan.before.json"
    assert second.kept.read_text() == edited
    assert read_plan(second.path) == first.plan
    assert find_plan(phantom_workspace, "plan.before.json") == second.kept


def test_the_same_plan_with_other_notes_is_not_kept(phantom_workspace: Workspace) -> None:
    first = plan_only(phantom_workspace)
    document = json.loads(first.path.read_text())
    first.path.write_text(json.dumps(document | {"warnings": ["mind the gap"], "decisions": []}))
    assert plan_only(phantom_workspace).kept is None


def test_a_plan_that_can_not_be_read_is_kept(phantom_workspace: Workspace) -> None:
    path = phantom_workspace.plan("plan")
    path.parent.mkdir(parents=True)
    path.write_text('{"half": ')
    kept = plan_only(phantom_workspace).kept
    assert kept is not None
    assert kept.read_text() == '{"half": '
