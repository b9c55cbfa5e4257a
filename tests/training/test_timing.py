import csv
from pathlib import Path

import pytest
import torch

from mixcl_auto.training import timing
from mixcl_auto.training.environment import describe_environment
from mixcl_auto.training.timing import Timing, peak_memory_mb

CPU = torch.device("cpu")


def test_rates_worked_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The clock is read at the start, around each wait, at each row and at each new start.
    clock = iter([0.0, 0.0, 1.0, 4.0, 6.0, 8.0, 8.0, 9.0, 9.0, 10.0, 10.0])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    watch = Timing(tmp_path / "timing.csv", batch_size=4, device=CPU)
    for _ in range(2):
        with watch.waiting():
            pass
        watch.count_step()
    watch.write(2)
    with watch.waiting():
        pass
    watch.count_step()
    watch.write(3)
    with (tmp_path / "timing.csv").open() as file:
        first, second = csv.DictReader(file)
    # 8 s for 2 steps, 1 + 2 s of them waiting; then 2 s for one step, none of it waiting.
    assert (first["step"], first["seconds"], first["samples_per_second"]) == ("2", "4", "1")
    assert first["waiting_share"] == "0.375"
    assert (second["seconds"], second["samples_per_second"], second["waiting_share"]) == ("2", "2", "0")


def test_nothing_is_written_without_a_step(tmp_path: Path) -> None:
    Timing(tmp_path / "timing.csv", batch_size=4, device=CPU).write(0)
    assert not (tmp_path / "timing.csv").exists()


def test_peak_memory_grows_with_what_is_allocated() -> None:
    before = peak_memory_mb(CPU)
    block = bytearray(int(before + 64) * 2**20)
    block[::4096] = b"x" * len(block[::4096])
    assert peak_memory_mb(CPU) >= before + 60


def test_environment_says_what_computed() -> None:
    environment = describe_environment(CPU, "bf16", 2)
    assert environment.torch == torch.__version__
    assert (environment.precision, environment.threads) == ("bf16", 2)
    assert environment.device.startswith("cpu (")
