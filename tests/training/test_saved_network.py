from pathlib import Path

import torch

from mixcl_auto.io.checkpoints import save_checkpoint
from mixcl_auto.training.saved_network import saved_network


def save(path: Path, step: int) -> None:
    save_checkpoint(path, {"network": {"weight": torch.full((2,), float(step))}, "step": step})


def test_weights_are_those_of_the_wanted_step_alone(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    assert saved_network(path, 3) is None
    save(path, 3)
    save(path, 6)
    weights = saved_network(path, 6)
    assert weights is not None
    assert weights["weight"].tolist() == [6.0, 6.0]
    # The checkpoint before is there still, but the run is beyond it.
    assert saved_network(path, 3) is None


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    for step in (3, 6):
        save(path, step)
    path.write_bytes(path.read_bytes()[:100])
    assert saved_network(path, 6) is None
    weights = saved_network(path, 3)
    assert weights is not None
    assert weights["weight"].tolist() == [3.0, 3.0]
