"""Two commands in one workspace at once: kept apart where they would spoil each other's files."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from commands import contents, leftovers, refused, run, succeed
from processes import folder_held_elsewhere

import mixcl_auto
from mixcl_auto.io.plans import read_plan
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.training.cases import open_cases
from mixcl_auto.workflows import plan_and_preprocess as planning

EXPORT = ("export", "segmenter", "--init", "mixcl", "-o")
SPACING_MM = (12.0, 12.0, 13.0)


def test_a_second_report_is_told_who_writes_the_first(workspace: Workspace) -> None:
    folder = workspace.report("plan")
    with folder_held_elsewhere(folder.path / "report.lock", folder.path) as other:
        said = refused(workspace, "report")
    assert f"{folder.path}: process {other} on " in said
    assert "has been working on this folder since 20" in said
    assert not folder.page.exists()


@pytest.mark.parametrize("is_there", [False, True])
def test_a_second_export_into_one_folder_is_told_who_writes_the_first(
    workspace: Workspace, tmp_path: Path, is_there: bool
) -> None:
    output = tmp_path / "export"
    if is_there:
        output.mkdir()
    place = output if is_there else tmp_path
    with folder_held_elsewhere(place / ".export.lock", output) as other:
        assert f"export: process {other} on " in refused(workspace, *EXPORT, output)
    succeed(workspace, *EXPORT, output)
    assert leftovers(tmp_path) == []
    assert not (place / ".export.lock").exists()


def test_an_export_that_waited_for_another_one_does_not_replace_it(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mixcl_auto.workflows import export as module

    output, lock = tmp_path / "export", module.output_lock

    def after_another(*arguments: Path) -> AbstractContextManager[None]:
        monkeypatch.setattr(module, "output_lock", lock)
        succeed(workspace, "export", "encoder", "-o", output)
        return lock(*arguments)

    monkeypatch.setattr(module, "output_lock", after_another)
    assert "export: not empty" in refused(workspace, *EXPORT, output)
    assert json.loads((output / "config.json").read_text())["kind"] == "encoder"


def test_plans_are_written_by_one_process_at_a_time(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "_PATIENCE_S", 0.0)
    before = contents(workspace.plans)
    with folder_held_elsewhere(workspace.plans / "plans.lock", workspace.plans) as other:
        result = run(workspace, "plan_and_preprocess", "--preset", "tiny", "--plan-only")
    assert result.exit_code == 1
    assert f"{workspace.plans}: process {other} on " in result.output
    found = contents(workspace.plans)
    assert {name: found[name] for name in before} == before


def at_once(workspace: Workspace, edits: tuple[str, ...], meanwhile: Callable[[], object]) -> None:
    """Plan and preprocess; something else happens between the two."""
    mixcl_auto.plan_and_preprocess(
        workspace, preset="tiny", spacing=SPACING_MM, edits=edits, jobs=1, on_plan=lambda _: meanwhile()
    )


def test_two_plannings_at_once_each_get_their_cache(
    workspace: Workspace, tiny_edits: tuple[str, ...], trained: Workspace
) -> None:
    other = (*tiny_edits, "preprocess.window_hu=[-100,200]")
    at_once(
        workspace,
        tiny_edits,
        lambda: mixcl_auto.plan_and_preprocess(
            workspace, preset="tiny", name="other", spacing=SPACING_MM, edits=other, jobs=1
        ),
    )
    for name in ("plan", "other"):
        plan = read_plan(workspace.plan(name))
        for dataset in plan.datasets:
            assert len(open_cases(workspace, plan, dataset.name, dataset.cases)) == len(dataset.cases)
    assert contents(trained.preprocessed).items() <= contents(workspace.preprocessed).items()
