"""The commands on tiny phantoms: what they print, and how they exit."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from mixcl_auto.cli.main import cli
from mixcl_auto.io.plans import read_plan, write_plan
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.plan import Plan


def run(workspace: Workspace, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["-w", str(workspace.root), *arguments])


@pytest.fixture(scope="module")
def fine_tuned(
    planned_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Workspace, Result]:
    root = tmp_path_factory.mktemp("cli") / "workspace"
    shutil.copytree(planned_workspace.root, root, symlinks=True)
    workspace = Workspace(root)
    arguments = ["--fold", "1", "--fraction", "0.25", "--init", "scratch", "--set", "finetune.iterations=2"]
    return workspace, run(workspace, "finetune", *arguments, "--device", "cpu")


def test_plan_and_preprocess_prints_decisions_and_where_the_plan_is(
    phantom_workspace: Workspace, tiny_edits: tuple[str, ...]
) -> None:
    edits = [part for edit in tiny_edits for part in ("--set", edit)]
    result = run(
        phantom_workspace,
        *("plan_and_preprocess", "--preset", "tiny", "--spacing", "12", "12", "13", "--jobs", "1", *edits),
    )
    assert result.exit_code == 0, result.output
    assert "0 errors" in result.stdout
    assert re.search(r"preprocess.spacing_mm\s+12, 12, 13", result.stdout)
    assert f"The plan is {phantom_workspace.plan('plan')}" in result.stdout
    assert read_plan(phantom_workspace.plan("plan")).preprocess.spacing_mm == (12.0, 12.0, 13.0)
    assert "Preprocessing: 9" in result.stderr


def test_a_case_that_fails_in_preprocessing_is_named_and_the_exit_code_is_1(
    copied_phantoms: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mixcl_auto.preprocessing import preprocess

    standardise = preprocess.standardise_image
    calls: list[int] = []

    def fail_once(image: np.ndarray, *arguments: object) -> object:
        if image.size > 1000 and not calls:  # a case, not what warms the kernels up
            calls.append(1)
            raise MemoryError("no room")
        return standardise(image, *arguments)

    monkeypatch.setattr(preprocess, "standardise_image", fail_once)
    result = run(copied_phantoms, "plan_and_preprocess", "--preset", "tiny", "--jobs", "1")
    assert result.exit_code == 1
    assert re.search(r"Error: Pool_\w+, pool_\w+: .*no room", result.stderr)
    assert "1 case could not be preprocessed; the others are done" in result.stderr


def test_finetune_prints_dice_per_organ(fine_tuned: tuple[Workspace, Result]) -> None:
    _, result = fine_tuned
    assert result.exit_code == 0, result.output
    for organ in ("spleen", "liver", "aorta", "mean"):
        assert re.search(rf"{organ}\s+[01]\.\d{{4}}", result.stdout), result.stdout


def test_predict_and_evaluate_name_what_they_wrote(
    fine_tuned: tuple[Workspace, Result], tmp_path: Path
) -> None:
    workspace, _ = fine_tuned
    model = ["--fold", "1", "--fraction", "0.25", "--init", "scratch"]
    scan = sorted((workspace.raw_data / "Target_Abdomen" / "imagesTr").iterdir())[0]
    predicted = run(workspace, "predict", "-i", str(scan), "-o", str(tmp_path / "out"), *model)
    assert predicted.exit_code == 0, predicted.output
    assert f"1 label map in {tmp_path / 'out'}" in predicted.stdout
    references = tmp_path / "references"
    references.mkdir()
    name = scan.name.replace("_0000", "")
    (references / name).symlink_to(workspace.raw_data / "Target_Abdomen" / "labelsTr" / name)
    scored = run(
        workspace, "evaluate", "--predictions", str(tmp_path / "out"), "--references", str(references)
    )
    assert scored.exit_code == 0, scored.output
    assert re.search(r"spleen\s+1\s+[01]\.\d{4}", scored.stdout), scored.stdout
    again = run(workspace, "evaluate", *model)
    assert again.exit_code == 0, again.output
    assert "scores.csv" in again.stdout


def test_an_edit_that_does_not_exist_is_refused_with_those_that_do(planned_workspace: Workspace) -> None:
    result = run(planned_workspace, "pretrain", "--set", "pretrain.learning_rat=1")
    assert result.exit_code == 1
    assert "pretrain has no 'learning_rat'; did you mean learning_rate?" in result.stderr


def test_doctor_prints_a_table_and_exits_with_0(tmp_path: Path) -> None:
    result = run(Workspace(tmp_path), "doctor", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert re.search(r"ok\s+training step\s+cpu", result.stdout)


@pytest.mark.parametrize(("options", "edits"), [((), ()), (("--seed", "3"), ("finetune.seed=3",))])
def test_finetune_takes_a_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], edits: tuple[str, ...]
) -> None:
    class AskedForError(Exception):
        pass

    def stand_in(_: object, *, edits: tuple[str, ...], **__: object) -> None:
        raise AskedForError(edits)

    monkeypatch.setattr("mixcl_auto.workflows.finetune.finetune", stand_in)
    write_plan(Workspace(tmp_path).plan("plan"), Plan())
    result = CliRunner().invoke(cli, ["--debug", "-w", str(tmp_path), "finetune", *options])
    assert isinstance(result.exception, AskedForError), result.output
    assert result.exception.args == (edits,)


@pytest.mark.parametrize(("options", "folder"), [((), "demo_workspace"), (("--folder", "trial"), "trial")])
def test_demo_makes_its_workspace_in_the_one_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], folder: str
) -> None:
    class AskedForError(Exception):
        pass

    def stand_in(made: Path, **_: object) -> None:
        raise AskedForError(made)

    monkeypatch.setattr("mixcl_auto.workflows.demo.demo", stand_in)
    result = CliRunner().invoke(cli, ["--debug", "-w", str(tmp_path), "demo", *options])
    assert isinstance(result.exception, AskedForError), result.output
    assert result.exception.args == (tmp_path / folder,)
