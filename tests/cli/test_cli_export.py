"""``export`` on the command line, and what it says to wrong uses."""

import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mixcl_auto.cli.main import cli
from mixcl_auto.io.workspace import Workspace

MODEL = ("--fraction", "0.25", "--init", "scratch")


@pytest.fixture(scope="module")
def trained(planned_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("export") / "workspace"
    shutil.copytree(planned_workspace.root, root, symlinks=True)
    done = call(Workspace(root), "finetune", *MODEL, "--device", "cpu", "--set", "finetune.iterations=1")
    assert done.exit_code == 0, done.output
    return Workspace(root)


def call(workspace: Workspace, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["-w", str(workspace.root), *arguments])


def test_files_are_counted_and_named(trained: Workspace, tmp_path: Path) -> None:
    output = tmp_path / "out"
    done = call(trained, "export", "segmenter", "-o", str(output), *MODEL)
    assert done.exit_code == 0, done.output
    assert f"2 files in {output}" in done.output
    assert sorted(path.name for path in output.iterdir()) == ["config.json", "model.safetensors"]


def test_existing_output_is_replaced_by_force_alone(trained: Workspace, tmp_path: Path) -> None:
    arguments = ("export", "segmenter", "-o", str(tmp_path), *MODEL)
    assert call(trained, *arguments).exit_code == 0
    before = (tmp_path / "model.safetensors").stat().st_mtime_ns
    again = call(trained, *arguments)
    assert again.exit_code == 1
    assert "not empty (it holds config.json, model.safetensors)" in again.output
    assert call(trained, *arguments, "--force").exit_code == 0
    assert (tmp_path / "model.safetensors").stat().st_mtime_ns > before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("tensorrt",), 2, "'tensorrt' is not one of"),
        (("encoder", "--fold", "0", "--seed", "1"), 2, "--fold, --seed: of no meaning for encoder;"),
        (("onnx", "--name", "mixcl"), 2, "--name: of no meaning for onnx;"),
        (
            ("encoder",),
            1,
            "no pre-training 'mixcl' (there: none); run `mixcl_auto -w {root} pretrain -p plan.json` first",
        ),
        (
            ("bundle", *MODEL, "--fold", "1"),
            1,
            "no fine-tuning of Target_Abdomen, scratch, fraction_0.25, fold 1",
        ),
        (("bundle", *MODEL, "-d", "Pool_Liver"), 1, "Pool_Liver has the role pretrain, not target"),
    ],
)
def test_wrong_uses_are_explained_and_write_nothing(
    trained: Workspace, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = call(trained, "export", *arguments, "-o", str(tmp_path / "out"))
    expected = message.replace("{root}", str(trained.root))
    assert (done.exit_code, expected in done.output) == (code, True), done.output
    assert not (tmp_path / "out").exists()


def test_missing_extra_is_one_line(
    trained: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    done = call(trained, "export", "onnx", "-o", str(tmp_path / "out"), *MODEL)
    assert done.exit_code == 1
    assert "needs onnxscript, which is not installed; run pip install 'mixcl_auto[export]'" in done.output
    assert not (tmp_path / "out").exists()
