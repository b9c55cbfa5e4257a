from pathlib import Path

import pytest

from mixcl_auto.errors import PlanError
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.plan import DatasetPlan, Plan
from mixcl_auto.workflows.inputs import (
    choose_target,
    is_plan_name,
    open_project,
    open_workspace,
    refuse_idle_edits,
)


def plan_with(**roles: str) -> Plan:
    datasets = tuple(
        DatasetPlan.model_validate(
            {"name": name, "role": role, "labels": {"liver": 1}, "cases": ["a"], "fingerprint": "0"}
        )
        for name, role in roles.items()
    )
    return Plan(datasets=datasets)


def test_the_only_target_needs_no_name() -> None:
    assert choose_target(plan_with(A="pretrain", B="target"), None).name == "B"


def test_a_dataset_that_is_both_is_a_target() -> None:
    assert choose_target(plan_with(A="both", B="target"), "A").name == "A"


def test_several_targets_are_listed() -> None:
    with pytest.raises(PlanError, match="targets: A, B; say which with -d NAME"):
        choose_target(plan_with(A="target", B="target"), None)


def test_no_target_is_said() -> None:
    with pytest.raises(
        PlanError, match=r"no target dataset to fine-tune on; plan again with .*--target NAME"
    ):
        choose_target(plan_with(A="pretrain"), None)


def test_an_unknown_dataset_is_refused_with_the_targets_there_are() -> None:
    with pytest.raises(PlanError, match="no dataset 'C'; its targets: B"):
        choose_target(plan_with(A="pretrain", B="target"), "C")


def test_a_workspace_can_be_given_in_any_form(tmp_path: Path) -> None:
    assert open_workspace(str(tmp_path)) == open_workspace(tmp_path) == open_workspace(Workspace(tmp_path))


@pytest.mark.parametrize("given", [None, "plan", "plan.json", Path("plan.json")])
def test_a_plan_is_found_by_name_and_edited_in_the_copy(tmp_path: Path, given: str | Path | None) -> None:
    path = Workspace(tmp_path).plan("plan")
    path.parent.mkdir(parents=True)
    path.write_text(plan_with(A="target").to_json())
    project = open_project(tmp_path, given, ["pretrain.seed=7"])
    assert (project.plan_name, project.plan.pretrain.seed) == ("plan", 7)
    assert open_project(tmp_path, given).plan.pretrain.seed == 0


@pytest.mark.parametrize(
    ("name", "plain"), [("mixcl", True), ("no_label-2", True), ("", False), ("..", False), ("a/b", False)]
)
def test_names_of_plans_can_not_leave_a_folder(name: str, plain: bool) -> None:
    assert is_plan_name(name) is plain


def test_an_edit_that_a_command_would_ignore_is_refused() -> None:
    refuse_idle_edits(["network.layers=4", "nonsense"], "pretrain", ("network", "pretrain"))
    with pytest.raises(PlanError, match=r"--set finetune.seed=1: `pretrain` does not use that section"):
        refuse_idle_edits(["network.layers=4", "finetune.seed=1"], "pretrain", ("network", "pretrain"))
