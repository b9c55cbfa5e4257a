"""Weights and training states from anybody, damaged at random: an error of ours or tensors."""

from pathlib import Path

import pytest
import torch
from hostile import bounded, mutated_bytes, read_or_refuse
from hypothesis import given

from mixcl_auto.finetuning.weights_notes import read_notes
from mixcl_auto.io.checkpoints import load_checkpoint, load_weights, save_weights

STATE = {"a.weight": torch.arange(12.0).reshape(3, 4), "b": torch.ones(2, dtype=torch.int64)}
METADATA = {
    "format": "mixcl_auto encoder 1",
    "network": '{"heads": 2, "patch_size": [32, 16, 16]}',
    "spacing_mm": "[1.5, 1.5, 2.0]",
    "window_hu": "[-150, 250]",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


@pytest.mark.parametrize("name", ["x.safetensors", "x.pt", "legacy.pt"])
def test_a_damaged_weights_file_is_refused_or_holds_tensors(folder, name):
    path = folder / name
    if name == "x.safetensors":
        save_weights(path, STATE, METADATA)
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=name == "x.pt")

    @bounded(200)
    @given(data=mutated_bytes(path.read_bytes(), head=400))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        weights = read_or_refuse(lambda: load_weights(path))
        for tensor in (weights or {}).values():
            assert isinstance(tensor, torch.Tensor)
            tensor.clone()
        read_or_refuse(lambda: read_notes(path))

    check()


def test_a_damaged_training_state_is_refused_or_a_mapping(folder):
    path = folder / "checkpoint.pt"
    torch.save({"step": 3, "model": STATE, "random": [1, 2, 3]}, path)

    @bounded(200)
    @given(data=mutated_bytes(path.read_bytes()))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        state = read_or_refuse(lambda: load_checkpoint(path))
        assert state is None or isinstance(state, dict)

    check()
