"""What a bundle's files say."""

import json
import sys
from pathlib import Path

import pytest
from cached_phantoms import NETWORK, TARGET, TARGET_LABELS
from monai.bundle import ConfigParser

from mixcl_auto.exporting.bundle import write_bundle
from mixcl_auto.io.checkpoints import load_weights, save_weights
from mixcl_auto.io.files import file_sha256, write_text
from mixcl_auto.io.workspace import FinetuneFolder
from mixcl_auto.networks.initialise import initialise
from mixcl_auto.records.plan import DatasetPlan, InferencePlan, Plan
from mixcl_auto.records.run import Environment, FinetuneRun
from mixcl_auto.training.networks import build_network

ENVIRONMENT = Environment(mixcl_auto="0", torch="2", python="3", device="cpu", precision="fp32", threads=1)


@pytest.fixture
def folder(tmp_path: Path) -> FinetuneFolder:
    """A run from scratch with a label value that no organ has."""
    labels = {**TARGET_LABELS, "bladder": 6}
    dataset = DatasetPlan(name=TARGET, role="target", labels=labels, cases=("a", "b"), fingerprint="f")
    plan = Plan(network=NETWORK, datasets=(dataset,), inference=InferencePlan(overlap=0.25))
    network = initialise(lambda: build_network(NETWORK, out_channels=7), 0)
    run = FinetuneRun(
        dataset=TARGET,
        init="scratch",
        fraction=0.5,
        fold=1,
        seed=3,
        plan=plan,
        status="finished",
        environment=ENVIRONMENT,
        weights=None,
        training_cases=("a",),
        held_out_cases=("b",),
        parameters=1,
        iterations=9,
    )
    folder = FinetuneFolder(tmp_path / "run")
    write_text(folder.run, run.to_json())
    save_weights(folder.weights, network.state_dict(), {})
    return folder


@pytest.fixture
def bundle(folder: FinetuneFolder, tmp_path: Path) -> Path:
    write_bundle(folder, tmp_path / "bundle")
    return tmp_path / "bundle"


def test_files_are_those_of_the_specification(bundle: Path) -> None:
    for name in ("configs/metadata.json", "configs/inference.json", "models/model.pt", "docs/README.md"):
        assert (bundle / name).is_file()
    assert "Apache License" in (bundle / "LICENSE").read_text()
    assert TARGET in (bundle / "LICENSE").read_text()


def test_metadata_name_every_channel(bundle: Path) -> None:
    document = json.loads((bundle / "configs" / "metadata.json").read_text())
    image, pred = (document["network_data_format"][key] for key in ("inputs", "outputs"))
    assert pred["pred"]["num_channels"] == 7
    assert pred["pred"]["channel_def"] == {
        "0": "background",
        "1": "spleen",
        "2": "liver",
        "3": "aorta",
        "4": "unused",
        "5": "unused",
        "6": "bladder",
    }
    assert image["image"]["spatial_shape"] == [32, 32, 32]
    for key in ("version", "monai_version", "pytorch_version", "numpy_version", "changelog", "task"):
        assert document[key]
    assert {"numba", "scipy", "nibabel", "pytorch-ignite"} <= document["required_packages_version"].keys()


def test_configuration_has_the_plans_numbers(bundle: Path) -> None:
    parser = ConfigParser(ConfigParser.load_config_file(bundle / "configs" / "inference.json"))
    assert parser["inferer"]["overlap"] == 0.25
    assert parser["inferer"]["roi_size"] == [32, 32, 32]
    assert parser["network_def"]["_target_"] == "scripts.network.AnyDepthUNETR"
    standardised = parser["preprocessing#transforms"][1]
    assert (standardised["spacing_mm"], standardised["window_hu"]) == ([1.5, 1.5, 2.0], [-150.0, 250.0])


def test_model_is_a_plain_state_dict_of_the_hash_that_is_stated(bundle: Path, folder: FinetuneFolder) -> None:
    model = bundle / "models" / "model.pt"
    assert load_weights(model).keys() == load_weights(folder.weights).keys()
    config = json.loads((bundle / "configs" / "export.json").read_text())
    assert config["weights"] == {"file": "models/model.pt", "sha256": file_sha256(model)}


def test_nothing_is_said_of_a_pool_that_random_weights_have_not_seen(bundle: Path) -> None:
    config = json.loads((bundle / "configs" / "export.json").read_text())
    assert [one["use"] for one in config["training_data"]] == ["fine-tuning"]
    assert config["origin"]["method"] is None


def test_model_card_has_the_organs_and_where_the_model_comes_from(bundle: Path) -> None:
    card = (bundle / "docs" / "README.md").read_text()
    assert "| 6 | bladder |" in card
    assert "50 % of the training cases of fold\n1, seed 3, from the initial weights `scratch`" in card
    assert "1.5 x 1.5 x 2 mm" in card


def test_scans_are_never_replaced(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(bundle)
    parser = ConfigParser(ConfigParser.load_config_file(bundle / "configs" / "inference.json"))
    parser.update({"dataset_dir": str(tmp_path), "output_dir": str(tmp_path)})
    (tmp_path / "a.nii.gz").write_bytes(b"a scan")
    try:
        with pytest.raises(RuntimeError) as raised:
            parser.get_parsed_content("dataset")
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "scripts"]:
            del sys.modules[name]
    causes = [raised.value, raised.value.__cause__, getattr(raised.value.__cause__, "__cause__", None)]
    assert any("among the scans and replace them" in str(cause) for cause in causes)
