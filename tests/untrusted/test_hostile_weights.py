"""Weights and training states that would run code, or claim more than they hold."""

import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from mixcl_auto.errors import WeightsError
from mixcl_auto.io.checkpoints import load_checkpoint, load_weights, weights_metadata


class Command:
    """Runs a command where it is unpickled without care."""

    def __init__(self, marker: Path, call: Any = os.system) -> None:
        self.call, self.argument = call, f"touch {marker}" if call is os.system else repr(str(marker))

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return self.call, (self.argument,)


def evaluate(marker: str) -> None:
    Path(marker).touch()


CALLS = {"command": os.system, "eval": eval, "import": __import__, "function": evaluate}


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "code_was_run"


def plant(path: Path, form: str, state: Any) -> None:
    if form == "bare pickle":
        path.write_bytes(pickle.dumps(state))
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")


@pytest.mark.parametrize("form", ["zip", "legacy", "bare pickle"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ["encoder.pt", "encoder.pth"])
def test_weights_that_would_run_code_are_refused_unread(tmp_path, marker, name, call, form):
    plant(tmp_path / name, form, {"weight": torch.ones(2), "x": Command(marker, CALLS[call])})
    with pytest.raises(
        WeightsError, match=rf"{name}: .*which could run code when read; save the bare state_dict"
    ):
        load_weights(tmp_path / name)
    assert not marker.exists()


def test_the_planted_command_does_run_where_pickle_is_trusted(tmp_path, marker):
    """Else the tests beside this one would show nothing."""
    plant(tmp_path / "x.pt", "zip", {"x": Command(marker)})
    torch.load(tmp_path / "x.pt", weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize("form", ["zip", "legacy", "bare pickle"])
def test_a_training_state_that_would_run_code_is_refused_unread(tmp_path, marker, form):
    plant(tmp_path / "checkpoint.pt", form, {"step": 1, "x": Command(marker)})
    with pytest.raises(WeightsError, match=r"checkpoint\.pt: no readable checkpoint"):
        load_checkpoint(tmp_path / "checkpoint.pt")
    assert not marker.exists()


def safetensors(header: bytes, length: int | None = None, data: bytes = b"\0" * 8) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


@pytest.mark.parametrize(
    "content",
    [
        safetensors(b"{}", 2**40),
        safetensors(b"{}", 2**63),
        safetensors(b"{}", 99_000_000),
        safetensors(b'{"a": {"dtype": "F32", "shape": [1000000000000], "data_offsets": [0, 4000000000000]}}'),
        safetensors(b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]}}'),
        safetensors(b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}'),
        safetensors(b'{"__metadata__": {"format": 1}}'),
        safetensors(b"[" * 100_000),
        b"",
        b"\x80\x02cposix\nsystem\n.",
    ],
    ids=[
        "2^40",
        "2^63",
        "99 MB",
        "10^12 elements",
        "too short",
        "backwards",
        "number",
        "depth",
        "empty",
        "pickle",
    ],
)
def test_safetensors_that_claim_more_than_they_hold_are_refused(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    for read in (load_weights, weights_metadata):
        with pytest.raises(WeightsError, match=r"x\.safetensors: the weights can't be read"):
            read(path)
