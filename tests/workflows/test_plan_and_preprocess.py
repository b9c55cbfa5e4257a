import json
from pathlib import Path

import pytest

from mixcl_auto.errors import DataError, PlanError
from mixcl_auto.io.case_cache import open_case
from mixcl_auto.io.plans import read_plan
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.finding import Finding
from mixcl_auto.records.record import content_hash
from mixcl_auto.workflows.plan_and_preprocess import plan_and_preprocess
from mixcl_auto.workflows.validate import validate

SPACING = (12.0, 12.0, 13.0)


def damage(workspace: Workspace, dataset: str) -> str:
    """Empty the first image of a dataset; its case's name."""
    image = sorted((workspace.raw_data / dataset / "imagesTr").iterdir())[0]
    image.write_bytes(b"")
    return image.name.removesuffix("_0000.nii.gz")


def test_every_planned_case_is_cached_with_the_plans_spacing(planned_workspace: Workspace) -> None:
    plan = read_plan(planned_workspace.plan("plan"))
    assert {dataset.name: dataset.role for dataset in plan.datasets} == {
        "Pool_Liver": "pretrain",
        "Pool_Kidneys": "pretrain",
        "Target_Abdomen": "target",
    }
    for dataset in plan.datasets:
        for case in dataset.cases:
            folder = planned_workspace.cached_case(dataset.name, content_hash(plan.preprocess), case)
            record = open_case(folder).record
            assert record.spacing_mm == SPACING
            assert set(dataset.labels.values()) <= set(record.label_voxels)


def test_edits_and_decisions_are_in_the_plan(planned_workspace: Workspace) -> None:
    plan = read_plan(planned_workspace.plan("plan"))
    assert plan.network.hidden_size == 24
    assert plan.preset == "tiny"
    rules = {decision.field: decision.rule for decision in plan.decisions}
    assert rules["network.patch_size"] == "--set"
    assert "preprocess.spacing_mm" in rules


def test_an_error_stops_before_anything_is_planned(copied_phantoms: Workspace) -> None:
    case = damage(copied_phantoms, "Pool_Liver")
    seen: list[Finding] = []
    with pytest.raises(DataError, match=rf"1 error\(s\).*\n  Pool_Liver, {case}: .*\n.*--skip-invalid"):
        plan_and_preprocess(copied_phantoms, preset="tiny", jobs=1, on_findings=seen.extend)
    assert not copied_phantoms.plan("plan").exists()
    assert [found.case for found in seen if found.severity == "error"] == [case]
    document = json.loads(copied_phantoms.validation.read_text())
    assert [found["case"] for found in document["errors"]] == [case]
    assert len(document["errors"]) + len(document["warnings"]) == len(seen)


def test_skip_invalid_leaves_the_case_out_and_says_so_in_the_plan(copied_phantoms: Workspace) -> None:
    case = damage(copied_phantoms, "Target_Abdomen")
    done = plan_and_preprocess(copied_phantoms, preset="tiny", spacing=SPACING, jobs=1, skip_invalid=True)
    target = done.plan.dataset("Target_Abdomen")
    assert case not in target.cases
    assert len(target.cases) == 4
    assert case in target.left_out
    assert any(case in warning for warning in done.plan.warnings)
    assert done.failures == ()


def test_plan_only_leaves_no_cache(phantom_workspace: Workspace) -> None:
    plan_and_preprocess(phantom_workspace, preset="tiny", jobs=1, plan_only=True, name="other")
    assert phantom_workspace.plan("other").is_file()
    assert not phantom_workspace.preprocessed.exists()


def test_roles_can_be_given(phantom_workspace: Workspace) -> None:
    done = plan_and_preprocess(
        phantom_workspace,
        preset="tiny",
        jobs=1,
        plan_only=True,
        target=["Pool_Liver"],
        pretrain=["Target_Abdomen"],
    )
    assert [dataset.name for dataset in done.plan.targets] == ["Pool_Liver"]
    assert "Target_Abdomen" in [dataset.name for dataset in done.plan.pool]


def test_a_plans_name_can_not_leave_the_workspace(phantom_workspace: Workspace) -> None:
    with pytest.raises(PlanError, match="can't be called"):
        plan_and_preprocess(phantom_workspace, name="../plan")


def test_an_unreadable_dataset_is_an_error_even_when_invalid_cases_are_skipped(
    copied_phantoms: Workspace,
) -> None:
    (copied_phantoms.raw_data / "Pool_Liver" / "dataset.json").write_text("{")
    with pytest.raises(DataError, match=r"Pool_Liver: .*not JSON"):
        plan_and_preprocess(copied_phantoms, preset="tiny", jobs=1, skip_invalid=True)


def test_validate_writes_all_findings_of_the_datasets_named(copied_phantoms: Workspace) -> None:
    case = damage(copied_phantoms, "Pool_Liver")
    damage(copied_phantoms, "Pool_Kidneys")
    checked = validate(copied_phantoms, datasets=["Pool_Liver"], jobs=1)
    assert checked.datasets == ("Pool_Liver",)
    assert checked.cases == 2
    assert [found.case for found in checked.findings if found.severity == "error"] == [case]
    document = json.loads(checked.path.read_text())
    for severity, listed in (("error", document["errors"]), ("warning", document["warnings"])):
        expected = [found for found in checked.findings if found.severity == severity]
        assert listed == [found.model_dump(mode="json") for found in expected]
    assert document["datasets"] == {"Pool_Liver": {"role": "pretrain", "cases": 2}}


def test_an_empty_workspace_says_where_datasets_go(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"raw_data: no dataset"):
        validate(tmp_path)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"edits": ["network.layer=4"]}, "network has no 'layer'"),
        ({"spacing": (0, 1, 1)}, "three lengths above 0"),
        ({"window": (250, -150)}, "LOW < HIGH"),
    ],
)
def test_wishes_are_checked_before_the_data_are_read(tmp_path: Path, wish: dict, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        plan_and_preprocess(tmp_path / "nothing here", preset="tiny", **wish)


def test_a_folder_without_dataset_json_is_told_of(copied_phantoms: Workspace) -> None:
    (copied_phantoms.raw_data / "Forgotten").mkdir()
    (copied_phantoms.raw_data / "Gone").symlink_to(copied_phantoms.root / "nowhere")
    (copied_phantoms.raw_data / ".hidden").mkdir()
    (copied_phantoms.raw_data / "notes.txt").touch()
    found = validate(copied_phantoms, jobs=1).findings
    passed_over = [finding.dataset for finding in found if "no dataset.json there" in finding.message]
    assert passed_over == ["Forgotten", "Gone"]


def test_a_dataset_that_can_not_be_read_is_not_said_to_be_skippable(copied_phantoms: Workspace) -> None:
    (copied_phantoms.raw_data / "Pool_Liver" / "dataset.json").write_text("{")
    with pytest.raises(DataError, match="correct them, or take Pool_Liver out of raw_data"):
        plan_and_preprocess(copied_phantoms, preset="tiny", skip_invalid=True, jobs=1)
