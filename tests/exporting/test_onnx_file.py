import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from mixcl_auto.errors import RunError
from mixcl_auto.exporting import onnx_file
from mixcl_auto.exporting.monai_network import monai_network
from mixcl_auto.networks.initialise import initialise
from mixcl_auto.records.plan import NetworkPlan
from mixcl_auto.training.networks import build_network

PLAN = NetworkPlan(patch_size=(32, 16, 48), feature_size=4, hidden_size=24, mlp_size=48, heads=2, layers=4)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    ours = initialise(lambda: build_network(PLAN, out_channels=3), 0)
    return monai_network(PLAN, 3, ours.state_dict())


@pytest.fixture(scope="module")
def model(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    onnx_file.write_model(network, PLAN.patch_size, path)
    return path


@pytest.mark.parametrize("batch", [1, 3])
def test_any_batch_gives_the_networks_logits(network: nn.Module, model: Path, batch: int) -> None:
    image = torch.rand(batch, 1, *PLAN.patch_size, generator=torch.Generator().manual_seed(7))
    session = onnxruntime.InferenceSession(str(model))
    (found,) = session.run(["logits"], {"image": image.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, network(image).numpy(), rtol=0, atol=1e-4)


def test_file_stands_alone_under_the_named_opset(model: Path) -> None:
    assert [path.name for path in model.parent.iterdir()] == ["model.onnx"]
    versions = {entry.domain: entry.version for entry in onnx.load(model).opset_import}
    assert versions[""] == onnx_file.OPSET
    onnx.checker.check_model(str(model), full_check=True)


def test_model_has_no_notes_of_the_machine_that_wrote_it(model: Path) -> None:
    text = str(onnx.load(model, load_external_data=False))
    assert "metadata_props" not in text
    assert "doc_string" not in text


def test_a_model_that_computes_something_else_is_refused(network: nn.Module, model: Path) -> None:
    ours = initialise(lambda: build_network(PLAN, out_channels=3), 1)
    other = monai_network(PLAN, 3, ours.state_dict())
    assert 0 < onnx_file.compare(network, PLAN.patch_size, model) < 1e-4
    with pytest.raises(RunError, match=r"logits differ from the network's by up to .*, more than 0\.00\d+"):
        onnx_file.compare(other, PLAN.patch_size, model)


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    onnx_file.refuse_without_onnx()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(RunError, match=rf"needs {package}, .*pip install 'mixcl_auto\[export\]'"):
        onnx_file.refuse_without_onnx()
