"""Models are exported, loaded by MONAI as docs/export.md says, and taken back."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

import mixcl_auto
from mixcl_auto.errors import RunError
from mixcl_auto.exporting.config import Kind
from mixcl_auto.exporting.onnx_file import OPSET
from mixcl_auto.inference.predictor import load_predictor
from mixcl_auto.io.checkpoints import load_weights, save_weights, weights_metadata
from mixcl_auto.io.files import file_sha256
from mixcl_auto.io.images import read_labels
from mixcl_auto.io.plans import read_plan
from mixcl_auto.io.runs import read_finetune_run
from mixcl_auto.io.workspace import FinetuneFolder, Workspace

DOCS = Path(__file__).resolve().parents[2] / "docs" / "export.md"
STEPS = ("finetune.iterations=1", "finetune.precision=fp32", "finetune.output_bias=default")
WITHOUT_US = """
import runpy, sys
sys.modules["mixcl_auto"] = None
runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
"""


def trained(planned: Workspace, root: Path, layers: int) -> Workspace:
    """A workspace with a pre-training and a model fine-tuned from it, of that many layers."""
    shutil.copytree(planned.root, root, symlinks=True)
    workspace = Workspace(root)
    document = json.loads(workspace.plan("plan").read_text())
    document["network"]["layers"] = layers
    document["pretrain"]["iterations"] = 1
    workspace.plan("plan").write_text(json.dumps(document))
    mixcl_auto.pretrain(workspace, device="cpu")
    mixcl_auto.finetune(workspace, fraction=0.25, edits=STEPS, device="cpu")
    balance_classes(run_of(workspace))
    return workspace


def balance_classes(folder: FinetuneFolder) -> None:
    """Let a hardly trained model mark every class somewhere: its mean logits become equal."""
    network = load_predictor(folder, "cpu").network
    window = torch.rand(4, 1, 32, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        means = network(window).mean(dim=(0, 2, 3, 4))
    weights = load_weights(folder.weights)
    weights["out.conv.conv.bias"] -= means
    save_weights(folder.weights, weights, weights_metadata(folder.weights))


@pytest.fixture(scope="module")
def deep(planned_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """With MONAI's 12 layers."""
    return trained(planned_workspace, tmp_path_factory.mktemp("deep") / "workspace", 12)


@pytest.fixture(scope="module")
def shallow(planned_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """With 4 layers."""
    return trained(planned_workspace, tmp_path_factory.mktemp("shallow") / "workspace", 4)


def run_of(workspace: Workspace, init: str = "mixcl") -> FinetuneFolder:
    return workspace.finetune("plan", "Target_Abdomen", init, 0.25, 0, 0)


def export(kind: str, output: Path, workspace: Workspace) -> list[Path]:
    return mixcl_auto.export(kind, output, workspace, fraction=0.25)


@pytest.fixture(scope="module")
def exported(deep: Workspace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The files of every kind, in the folders that the page names."""
    place = tmp_path_factory.mktemp("exported")
    return {kind: export(kind, place / f"my_{kind}", deep) for kind in get_args(Kind)}


@pytest.fixture(scope="module")
def bundle(shallow: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared") / "bundle"
    export("bundle", folder, shallow)
    return folder


def monai_bundle(
    bundle: Path, *arguments: str, place: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """MONAI's command in a folder (absent: the bundle's), with mixcl_auto out of reach."""
    configs = bundle / "configs"
    options = {"config_file": configs / "inference.json", "meta_file": configs / "metadata.json"}
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_US, *arguments, *words],
        cwd=place or bundle,
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.slow
def test_the_pages_examples_run(
    deep: Workspace, exported: dict[str, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(exported["onnx"][0].parents[1])
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    loaded, run = names["segmenter"].state_dict(), load_weights(run_of(deep).weights)
    assert loaded.keys() == run.keys()
    assert all(torch.equal(loaded[name], run[name]) for name in run)
    assert names["logits"].shape == (1, 4, 32, 16, 16)


@pytest.mark.slow
def test_config_says_what_the_weights_are_and_names_no_case(
    deep: Workspace, exported: dict[str, list[Path]]
) -> None:
    for kind in ("encoder", "onnx", "segmenter"):
        weights, config = exported[kind]
        document = json.loads(config.read_text())
        assert document["weights"] == {"file": weights.name, "sha256": file_sha256(weights)}
        for case in read_plan(deep.plan("plan")).dataset("Target_Abdomen").cases:
            assert case not in config.read_text()
        assert str(deep.root) not in config.read_text()
    run = read_finetune_run(run_of(deep))
    assert document["labels"] == {"background": 0, "spleen": 1, "liver": 2, "aorta": 3}
    assert document["input"]["spacing_mm"] == [12.0, 12.0, 13.0]
    assert document["input"]["patch_size"] == [32, 16, 16]
    uses = [(one["dataset"], one["use"], one["cases"]) for one in document["training_data"]]
    assert uses == [
        ("Target_Abdomen", "fine-tuning", len(run.training_cases)),
        ("Pool_Kidneys", "pre-training", 2),
        ("Pool_Liver", "pre-training", 2),
    ]
    origin = document["origin"]
    assert (origin["name"], origin["method"], origin["fraction"], origin["fold"]) == (
        "mixcl",
        "mixcl",
        0.25,
        0,
    )


def test_encoder_is_the_pretrainings_file_byte_by_byte(deep: Workspace, tmp_path: Path) -> None:
    weights, _ = export("encoder", tmp_path, deep)
    assert weights.read_bytes() == deep.pretrain("plan", "mixcl").encoder.read_bytes()


@pytest.mark.slow
def test_bundle_passes_monais_verification(exported: dict[str, list[Path]]) -> None:
    bundle = exported["bundle"][0].parents[1]
    done = monai_bundle(bundle, "verify_net_in_out", "--net_id", "network_def")
    assert "verified with no error" in done.stdout + done.stderr


@pytest.mark.slow
def test_bundle_gives_the_labels_of_predict(shallow: Workspace, bundle: Path, tmp_path: Path) -> None:
    """Two scans of other orientations, with a model that marks every organ somewhere; run from elsewhere."""
    images = sorted((shallow.raw_data / "Target_Abdomen" / "imagesTr").iterdir())[:2]
    (tmp_path / "scans").mkdir()
    for image in images:
        shutil.copy(image, tmp_path / "scans" / image.name.replace("_0000", ""))
    folders = {"dataset_dir": tmp_path / "scans", "output_dir": tmp_path / "labels", "bundle_root": bundle}
    words = [str(word) for name, value in folders.items() for word in (f"--{name}", value)]
    monai_bundle(bundle, "run", *words, place=Path("/"))
    expected = mixcl_auto.predict(
        tmp_path / "scans", tmp_path / "expected", shallow, fraction=0.25, device="cpu"
    )
    assert len(expected) == 2
    for path in expected:
        wanted, found = read_labels(path), read_labels(tmp_path / "labels" / path.name)
        np.testing.assert_array_equal(found.array, wanted.array)
        assert found.geometry.orientation == wanted.geometry.orientation
        assert list(np.unique(wanted.array)) == [0, 1, 2, 3]


@pytest.mark.slow
def test_no_file_names_a_place_of_this_machine(deep: Workspace, exported: dict[str, list[Path]]) -> None:
    assert exported.keys() == set(get_args(Kind))
    for path in (path for written in exported.values() for path in written):
        data = path.read_bytes()
        for place in (sys.prefix, str(DOCS.parents[1]), str(deep.root), str(path.parents[1])):
            assert place.encode() not in data, (path, place)


@pytest.mark.slow
def test_onnx_says_how_it_was_made(exported: dict[str, list[Path]]) -> None:
    _, config = exported["onnx"]
    made = json.loads(config.read_text())["onnx"]
    assert (made["opset"], made["torch"]) == (OPSET, torch.__version__)
    assert made["onnx"]
    assert made["onnxruntime"]
    assert 0 < made["largest_difference"] < 1e-4


@pytest.mark.parametrize("kind", ["encoder", "segmenter", "bundle"])
def test_files_are_the_same_again_in_another_process(
    shallow: Workspace, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = export(kind, tmp_path / "first", shallow)
    monkeypatch.setattr(os, "getpid", lambda: 1)  # part of temporary names
    second = export(kind, tmp_path / "second", shallow)
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one


def test_another_kind_is_not_written_over(shallow: Workspace, tmp_path: Path) -> None:
    export("segmenter", tmp_path, shallow)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for kind in ("encoder", "bundle"):
        with pytest.raises(RunError, match=f"of segmenter, which --force does not replace by {kind}"):
            mixcl_auto.export(kind, tmp_path, shallow, fraction=0.25, force=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_runs_own_folder_is_not_written_to(shallow: Workspace) -> None:
    folder = run_of(shallow)
    before = folder.weights.read_bytes()
    for output in (folder.path, shallow.raw_data / "Exported"):
        with pytest.raises(RunError, match="the workspace's own files"):
            mixcl_auto.export("segmenter", output, shallow, fraction=0.25, force=True)
    assert folder.weights.read_bytes() == before
    assert not (folder.path / "config.json").exists()


@pytest.mark.parametrize("kind", ["encoder", "segmenter", "bundle"])
def test_exports_are_taken_back_at_another_patch_size(shallow: Workspace, tmp_path: Path, kind: str) -> None:
    written = export(kind, tmp_path / kind, shallow)
    weights = tmp_path / f"back_{kind}{written[0].suffix}"
    if kind == "bundle":
        weights = written[0]
    else:
        written[0].rename(weights)
    edits = (*STEPS, "network.patch_size=[16,32,16]", "finetune.learning_rate=1e-12")
    mixcl_auto.finetune(shallow, fraction=0.25, init=weights, edits=edits, device="cpu")
    loaded = read_finetune_run(run_of(shallow, weights.stem)).weights
    assert loaded is not None
    assert loaded.sha256 == file_sha256(weights)
    # As many tokens as before: only a grid that was read tells that they lie otherwise.
    assert loaded.interpolated == ("vit.patch_embedding.position_embeddings",)
    # An encoder's file says that `tiny` leaves level 0 to the fine-tuning; a segmenter's has learnt it there.
    level_0 = [name for name in loaded.ignored if name.startswith("encoder1.")]
    assert bool(level_0) == (kind == "encoder")
    assert bool(set(loaded.ignored) - set(level_0)) == (kind != "encoder")


def test_runs_that_have_not_ended_are_refused(
    shallow: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path / "workspace")
    shutil.copytree(shallow.root, workspace.root, symlinks=True)
    for path in (run_of(workspace).run, workspace.pretrain("plan", "mixcl").run):
        text = path.read_text()
        path.write_text(re.sub(r'"status": "\w+"', '"status": "running"', text))
    for kind, message in (("onnx", "training has not ended"), ("encoder", "pre-training is not finished")):
        with pytest.raises(RunError, match=message):
            export(kind, tmp_path / "out", workspace)
    assert not (tmp_path / "out").exists()


def test_unknown_kinds_and_other_runs_are_refused(shallow: Workspace, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="unknown kind 'onyx'; write encoder, segmenter, bundle, onnx"):
        export("onyx", tmp_path, shallow)
    with pytest.raises(
        RunError, match=r"no fine-tuning of Target_Abdomen, mixcl, fraction_1, fold 0, seed 0"
    ):
        mixcl_auto.export("segmenter", tmp_path, shallow)
    with pytest.raises(RunError, match="no pre-training 'other'"):
        mixcl_auto.export("encoder", tmp_path, shallow, name="other")
