import logging
import os
import pickle
import zipfile

import pytest
import torch

from mixcl_auto.errors import WeightsError
from mixcl_auto.io.checkpoints import (
    load_checkpoint,
    load_weights,
    read_state,
    save_checkpoint,
    save_weights,
    weights_metadata,
)
from mixcl_auto.io.workspace import previous_checkpoint


def test_a_state_comes_back(tmp_path):
    state = {"step": 3, "network": {"w": torch.arange(4.0)}, "plan": '{"a": 1}'}
    save_checkpoint(tmp_path / "checkpoint.pt", state)
    loaded = load_checkpoint(tmp_path / "checkpoint.pt")
    assert loaded["step"] == 3
    assert torch.equal(loaded["network"]["w"], torch.arange(4.0))


def test_no_checkpoint_is_none(tmp_path):
    assert load_checkpoint(tmp_path / "checkpoint.pt") is None


@pytest.mark.parametrize("damage", [lambda data: data[:300], lambda data: b"", lambda data: b"rubbish" * 9])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(tmp_path, caplog, damage):
    path = tmp_path / "checkpoint.pt"
    for step in (1, 2, 3):
        save_checkpoint(path, {"step": step})
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert load_checkpoint(path) == {"step": 2}
    assert "damaged checkpoint, passed over" in caplog.text


def test_a_damaged_checkpoint_never_takes_the_place_of_the_good_one(tmp_path):
    path = tmp_path / "checkpoint.pt"
    for step in (1, 2):
        save_checkpoint(path, {"step": step})
    path.write_bytes(path.read_bytes()[:300])
    assert load_checkpoint(path) == {"step": 1}
    save_checkpoint(path, {"step": 2})
    assert load_checkpoint(previous_checkpoint(path)) == {"step": 1}


def test_a_single_flipped_bit_is_never_loaded(tmp_path, caplog):
    path = tmp_path / "checkpoint.pt"
    states = [{"step": step, "network": torch.rand(200)} for step in (1, 2)]
    for state in states:
        save_checkpoint(path, state)
    whole = path.read_bytes()
    of_the_tensor = whole.index(states[1]["network"].numpy().tobytes())
    steps = []
    for position in [*range(0, len(whole), 61), of_the_tensor + 401]:
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        loaded = load_checkpoint(path)  # a flip in the padding harms nothing
        assert torch.equal(loaded["network"], states[loaded["step"] - 1]["network"])
        steps.append(loaded["step"])
    assert steps[-1] == 1
    assert "data/0 does not have its check sum" in caplog.text
    assert "checkpoint.previous.pt: going back to the checkpoint before" in caplog.text


def test_a_kill_between_the_two_renames_leaves_the_previous_one(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"step": 1})
    path.replace(previous_checkpoint(path))
    assert load_checkpoint(path) == {"step": 1}


def test_only_damaged_checkpoints_are_an_error(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"x")
    with pytest.raises(WeightsError, match="no readable checkpoint; remove"):
        load_checkpoint(tmp_path / "checkpoint.pt")


def test_weights_and_their_description_come_back(tmp_path):
    path = tmp_path / "encoder.safetensors"
    save_weights(path, {"a.b": torch.arange(6.0).reshape(2, 3).T}, {"spacing": "1.5"})
    assert torch.equal(load_weights(path)["a.b"], torch.arange(6.0).reshape(2, 3).T)
    assert weights_metadata(path) == {"spacing": "1.5"}
    assert [file.name for file in tmp_path.iterdir()] == ["encoder.safetensors"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_weights_can_be_read_by_whom_other_files_can(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        save_weights(tmp_path / "encoder.safetensors", {"x": torch.ones(1)}, {})
    finally:
        os.umask(before)
    assert (tmp_path / "encoder.safetensors").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"state_dict": state, "ema": {"w": torch.zeros(2)}},
        lambda state: {"model": state, "epoch": 3, "optimizer": {"param_groups": [{"lr": 1}], "state": {}}},
        lambda state: {"model_state_dict": state, "loss": torch.ones(1)},
        lambda state: {"net": state},
    ],
)
def test_bare_and_wrapped_state_dicts_are_read(tmp_path, wrap):
    torch.save(wrap({"w": torch.ones(2)}), tmp_path / "w.pth")
    assert torch.equal(load_weights(tmp_path / "w.pth")["w"], torch.ones(2))


class Malicious:
    def __reduce__(self):
        return (print, ("executed",))


def plant_malicious(path):
    torch.save({"w": Malicious()}, path)


def plant_malicious_pickle(path):
    path.write_bytes(pickle.dumps(Malicious(), protocol=2))


@pytest.mark.parametrize(
    ("name", "plant", "message"),
    [
        ("w.pt", plant_malicious, "holds Python objects"),
        ("w.pt", plant_malicious_pickle, "holds Python objects"),
        ("w.pt", lambda path: torch.save({"w": 1}, path), "a state_dict"),
        ("w.pt", lambda path: torch.save([torch.ones(1)], path), "a state_dict"),
        ("w.pt", lambda path: torch.save({}, path), "holds a dict without names"),
        ("w.pt", lambda path: torch.save({"w": torch.ones(1), "x" * 99: 3}, path), r"a dict with w, x{60};"),
        (
            "w.pt",
            lambda path: torch.save({"a": {"w": torch.ones(1)}, "b": {"w": torch.ones(1)}, "c": 1}, path),
            "holds several: a, b; save the bare",
        ),
        ("w.pt", lambda path: torch.save(dict.fromkeys("abcdefg", 1), path), "with a, b, c, d, e and 2 more"),
        ("w.pt", lambda path: torch.save({"w": torch.ones(1).to_sparse()}, path), "w: sparse"),
        (
            "w.pt",
            lambda path: torch.save({"w": torch.ones(1, device="meta")}, path),
            r"w: .*without values \(meta\)",
        ),
        ("w.onnx", lambda path: path.write_bytes(b"x"), "not '.onnx'"),
        ("w.safetensors", lambda path: path.write_bytes(b"x"), "can't be read"),
        ("w.safetensors", lambda path: None, "no such weights file"),
    ],
)
def test_other_files_are_refused(tmp_path, capsys, name, plant, message):
    plant(tmp_path / name)
    with pytest.raises(WeightsError, match=message) as problem:
        load_weights(tmp_path / name)
    assert name in str(problem.value)
    assert "executed" not in capsys.readouterr().out


def test_the_same_weights_give_the_same_bytes(tmp_path):
    metadata = {f"key {number}": f'value "{number}" ü' for number in range(20)}
    for name in ("a", "b", "c"):
        save_weights(tmp_path / f"{name}.safetensors", {"x": torch.arange(3.0)}, metadata)
    files = {path.read_bytes() for path in tmp_path.iterdir()}
    assert len(files) == 1
    assert weights_metadata(tmp_path / "a.safetensors") == metadata
    assert torch.equal(load_weights(tmp_path / "a.safetensors")["x"], torch.arange(3.0))


def test_a_compressed_archive_is_no_weights_file(tmp_path):
    torch.save({"w": torch.zeros(2_000_000)}, tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name))
    assert (tmp_path / "bomb.pt").stat().st_size < 100_000
    with pytest.raises(WeightsError, match="damaged"):
        load_weights(tmp_path / "bomb.pt")
    with pytest.raises(WeightsError, match="compressed, or says that it holds more than its size"):
        read_state(tmp_path / "bomb.pt")


def test_a_tensor_of_more_elements_than_values_is_refused(tmp_path):
    torch.save({"w": torch.zeros(1).expand(10**12)}, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match="w: sparse, expanded, or without values"):
        load_weights(tmp_path / "a.pt")


def test_a_checkpoint_that_could_run_code_is_refused_without_advice_to_trust_it(tmp_path, caplog):
    torch.save({"step": os.getcwd}, tmp_path / "checkpoint.pt")
    with pytest.raises(WeightsError, match="no readable checkpoint"):
        load_checkpoint(tmp_path / "checkpoint.pt")
    assert "could run code when read" in caplog.text
    assert "weights_only" not in caplog.text
