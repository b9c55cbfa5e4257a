"""No writer may pass over a write that failed, nor lose what was there before."""

import numpy as np
import pytest
import torch
from full_disk import full_beyond

from mixcl_auto.drawing.palette import new_figure, save_figure
from mixcl_auto.errors import DataError
from mixcl_auto.io.case_cache import cached_key
from mixcl_auto.io.case_writer import write_case
from mixcl_auto.io.checkpoints import (
    load_checkpoint,
    load_weights,
    save_checkpoint,
    save_weights,
)
from mixcl_auto.io.files import write_text
from mixcl_auto.io.images import read_labels, write_labels
from mixcl_auto.io.orientation import ras_geometry
from mixcl_auto.io.probabilities import probability_files
from mixcl_auto.io.workspace import previous_checkpoint
from mixcl_auto.records.case import CachedCase

SHAPE = (64, 48, 40)
LIMIT = 20_000
"""Bytes; every file below is longer."""


def labels():
    return np.random.default_rng(0).integers(0, 200, SHAPE).astype(np.uint8)


def geometry():
    return ras_geometry(SHAPE, (1.0, 1.0, 2.0))


def write_probabilities(path):
    with probability_files([path], geometry()) as write:
        write(labels()[None].transpose(0, 3, 2, 1))


def draw(path):
    figure = new_figure(8, 8)
    figure.add_subplot().imshow(np.random.default_rng(0).random((200, 200)))
    save_figure(figure, path)


def write_a_case(path):
    record = CachedCase(
        id="a", key="k", patient="p", shape=SHAPE, spacing_mm=(1, 1, 2), source=geometry(), label_voxels={}
    )
    image = labels().astype(np.int16)
    write_case(path, record, image=image, labels=labels(), distance=labels(), foreground={})


WRITERS = {
    "text.json": lambda path: write_text(path, "x" * 100_000),
    "labels.nii.gz": lambda path: write_labels(path, labels(), geometry()),
    "labels.nii": lambda path: write_labels(path, labels(), geometry()),
    "labels.mha": lambda path: write_labels(path, labels(), geometry()),
    "organ.nii.gz": write_probabilities,
    "model.safetensors": lambda path: save_weights(path, {"a": torch.rand(100_000)}, {"b": "c"}),
    "figure.png": draw,
    "case": write_a_case,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, name):
    with full_beyond(LIMIT), pytest.raises((OSError, DataError)) as caught:
        WRITERS[name](tmp_path / name)
    assert name in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    WRITERS[name](tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "case"])
def test_a_full_disk_keeps_what_was_there(tmp_path, name):
    WRITERS[name](tmp_path / name)
    before = (tmp_path / name).read_bytes()
    with full_beyond(LIMIT), pytest.raises((OSError, DataError)):
        WRITERS[name](tmp_path / name)
    assert (tmp_path / name).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_case_that_was_cached_stays_whole(tmp_path):
    write_a_case(tmp_path / "case")
    with full_beyond(LIMIT), pytest.raises(OSError, match="case"):
        write_a_case(tmp_path / "case")
    assert cached_key(tmp_path / "case") == "k"


def test_the_last_checkpoints_survive_a_full_disk(tmp_path):
    path = tmp_path / "checkpoint.pt"
    for step in (1, 2):
        save_checkpoint(path, {"step": step, "network": torch.rand(100_000)})
    with full_beyond(LIMIT), pytest.raises(OSError, match=r"checkpoint\.pt"):
        save_checkpoint(path, {"step": 3, "network": torch.rand(100_000)})
    assert sorted(file.name for file in tmp_path.iterdir()) == ["checkpoint.previous.pt", "checkpoint.pt"]
    assert load_checkpoint(path)["step"] == 2
    path.unlink()
    assert previous_checkpoint(path).is_file()
    assert load_checkpoint(path)["step"] == 1


def test_weights_that_fit_are_whole(tmp_path):
    weights = {"a": torch.rand(1000)}
    with full_beyond(LIMIT):
        save_weights(tmp_path / "a.safetensors", weights, {"b": "c"})
        write_labels(tmp_path / "a.nii.gz", np.zeros((4, 4, 4), np.uint8), ras_geometry((4, 4, 4), (1, 1, 1)))
    assert torch.equal(load_weights(tmp_path / "a.safetensors")["a"], weights["a"])
    assert read_labels(tmp_path / "a.nii.gz").array.shape == (4, 4, 4)
