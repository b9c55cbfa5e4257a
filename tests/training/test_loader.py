import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
import torch

from mixcl_auto.engines import cause_of_death
from mixcl_auto.errors import DataError, RunError
from mixcl_auto.training import loader
from mixcl_auto.training.loader import load_batches
from mixcl_auto.training.samples import Batch, Note, Sample, note_nothing

CPU = torch.device("cpu")

Fault = Callable[[int], None]
"""What a source does in the middle of drawing a sample, told its number."""


@dataclass
class Numbers:
    """Draws a few random numbers, once it has done what a test wants it to suffer."""

    fault: Fault = field(default=lambda number: None)
    warmed: int = 0
    note: Note = note_nothing

    def draw(self, generator: np.random.Generator, number: int) -> Sample:
        drawn = int(generator.integers(1_000_000))
        self.note(f"case_{number}")
        self.fault(number)
        values = generator.random((1, 2, 3)).astype(np.float32)
        labels = generator.integers(0, 9, (2, 3)).astype(np.uint8)
        return Sample({"values": values, "labels": labels}, (f"case_{number}",), {"drawn": drawn})

    def warm(self) -> None:
        self.warmed += 1


@dataclass
class At:
    """A fault at some samples of a worker: in every process that draws them, or only in the first one."""

    fault: Callable[[], None]
    numbers: tuple[int, ...]
    once_in: Path | None = None

    def __call__(self, number: int) -> None:
        if number not in self.numbers:
            return
        if self.once_in is not None:
            try:
                (self.once_in / str(number)).touch(exist_ok=False)
            except FileExistsError:
                return
        self.fault()


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for_ever() -> None:
    threading.Event().wait()


def hold_still_in_c() -> None:
    """With the interpreter's lock held: no signal handler of Python's runs, nor any other thread."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctypes.PyDLL(None).sleep(600)


def run_out_of_memory() -> None:
    raise MemoryError


def load(
    source: Numbers, steps: range, workers: int, *, seed: int = 5, patience_s: float = 60.0
) -> list[Batch]:
    batches = load_batches(
        source, seed=seed, batch_size=3, steps=steps, workers=workers, device=CPU, patience_s=patience_s
    )
    return list(batches)


def assert_equal_batches(first: list[Batch], second: list[Batch]) -> None:
    assert len(first) == len(second)
    for one, two in zip(first, second, strict=True):
        assert one.cases == two.cases
        assert one.numbers == two.numbers
        assert all(torch.equal(one.tensors[name], two.tensors[name]) for name in one.tensors)


def children() -> list[object]:
    return list(multiprocessing.active_children())


@pytest.fixture
def victims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for the kernel's count of those whom its memory killer killed."""
    file = tmp_path / "memory.events"
    file.write_text("oom_kill 0\n")
    monkeypatch.setattr(cause_of_death, "victims_file", lambda: file)
    return file


def test_batches_do_not_depend_on_the_number_of_workers() -> None:
    alone = load(Numbers(), range(9), workers=0)
    assert len(alone) == 9
    for workers in (1, 2, 3):
        assert_equal_batches(alone, load(Numbers(), range(9), workers))


def test_resumed_loader_continues_where_it_stopped() -> None:
    whole = load(Numbers(), range(6), workers=0)
    assert_equal_batches(whole[4:], load(Numbers(), range(4, 6), workers=1))


def test_batches_differ_between_steps_samples_and_seeds() -> None:
    batches = [batch for seed in (5, 6) for batch in load(Numbers(), range(4), 0, seed=seed)]
    assert len({number for batch in batches for number in batch.numbers["drawn"]}) == 24


def test_batches_from_workers_may_be_written_to() -> None:
    (batch,) = load(Numbers(), range(1), workers=1)
    batch.tensors["values"].add_(1)
    assert batch.tensors["values"].min() >= 1


def test_workers_run_only_a_few_batches_ahead() -> None:
    drawn = multiprocessing.RawValue("i", 0)

    def count(number: int) -> None:
        drawn.value = max(drawn.value, number)

    batches = load_batches(Numbers(count), seed=0, batch_size=1, steps=range(100), workers=2, device=CPU)
    for _ in range(5):
        next(batches)
    time.sleep(0.2)
    assert drawn.value <= 5 + 2 * 2
    batches.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_failed_sample_is_one_clear_line_from_any_process(workers: int) -> None:
    def fail(number: int) -> None:
        if number == 2:
            raise DataError("case_2: damaged")

    with pytest.raises(RunError, match=r"^case_2: damaged$"):
        load(Numbers(fail), range(2), workers)


@pytest.mark.parametrize("workers", [0, 1])
def test_mistake_in_a_source_keeps_its_type_and_place(workers: int) -> None:
    def stumble(number: int) -> None:
        raise KeyError("spacing")

    with pytest.raises(KeyError, match="spacing") as caught:
        load(Numbers(stumble), range(2), workers)
    assert workers == 0 or "in stumble" in caught.value.__notes__[0]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_killed_worker_is_named_with_its_case_and_the_batches_stay_the_same(
    workers: int, tmp_path: Path, victims: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed = load(Numbers(At(kill_itself, (7,), once_in=tmp_path)), range(9), workers)
    assert_equal_batches(load(Numbers(), range(9), workers=0), killed)
    (line,) = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    left = max(1, workers - 1)
    assert line == (
        "a loader worker was killed by SIGKILL (not by the kernel's memory killer) while drawing a sample of "
        f"step 3 from case_7; going on with {left}"
    )
    assert children() == []


def test_two_deaths_leave_the_batches_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    killed = load(Numbers(At(kill_itself, (4, 19), once_in=tmp_path)), range(9), 2)
    assert_equal_batches(load(Numbers(), range(9), workers=0), killed)
    assert ["case_4" in record.message or "case_19" in record.message for record in caplog.records] == [
        True
    ] * 2


@pytest.mark.parametrize("fault", [wait_for_ever, hold_still_in_c])
def test_dead_locked_worker_is_ended_after_a_while_and_the_batches_stay_the_same(
    fault: Callable[[], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ended = load(Numbers(At(fault, (7,), once_in=tmp_path)), range(9), 2, patience_s=0.5)
    assert_equal_batches(load(Numbers(), range(9), workers=0), ended)
    assert [record.message for record in caplog.records] == [
        "a loader worker gave nothing for 0.5 s while drawing a sample of step 3 from case_7; going on with 1"
    ]
    assert children() == []


def test_worker_that_holds_still_after_a_batch_does_not_hold_back_that_batch(tmp_path: Path) -> None:
    """What it has sent is not fetched from it later: it could not answer."""
    source = Numbers(At(hold_still_in_c, (3,)))
    batches = load_batches(source, seed=5, batch_size=3, steps=range(2), workers=1, device=CPU)
    time.sleep(0.2)
    assert next(batches).cases == ("case_0", "case_1", "case_2")
    batches.close()
    assert children() == []


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_sample_that_kills_worker_after_worker_ends_the_run_with_its_case(
    workers: int, victims: Path, caplog: pytest.LogCaptureFixture
) -> None:
    message = (
        r"^another loader worker was killed by SIGKILL .* while drawing a sample of step 2 from case_4: "
        r"check the files of its case in the cache and their disk, free memory, and run the same command"
    )
    with pytest.raises(RunError, match=message):
        load(Numbers(At(kill_itself, (4,))), range(4), workers)
    assert len(caplog.records) == 1
    assert children() == []


def test_sample_that_locks_worker_after_worker_ends_the_run_too() -> None:
    with pytest.raises(RunError, match=r"another loader worker gave nothing for 0\.2 s .* from case_4"):
        load(Numbers(At(wait_for_ever, (4,))), range(4), 2, patience_s=0.2)
    assert children() == []


def test_lack_of_memory_costs_workers_until_one_is_left(
    victims: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def be_killed_by_the_kernel() -> None:
        count = int(victims.read_text().split()[1])
        victims.write_text(f"oom_kill {count + 1}\n")
        kill_itself()

    with pytest.raises(
        RunError, match=r"by the kernel for lack of memory while .* case_0: free memory or use fewer workers"
    ):
        load(Numbers(At(be_killed_by_the_kernel, (0,))), range(4), 3)
    assert [record.message.partition("; ")[2] for record in caplog.records] == [
        "going on with 2",
        "going on with 1",
    ]


def test_failed_allocation_in_a_worker_is_lack_of_memory_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ended = load(Numbers(At(run_out_of_memory, (7,), once_in=tmp_path)), range(4), 2)
    assert_equal_batches(load(Numbers(), range(4), workers=0), ended)
    assert "ran out of memory while drawing a sample of step 3 from case_7" in caplog.records[0].message


def test_death_while_a_step_is_computed_does_not_disturb_the_step(caplog: pytest.LogCaptureFixture) -> None:
    """A signal handler that raises an error there would leave the step half done."""
    batches = load_batches(Numbers(), seed=5, batch_size=3, steps=range(20), workers=2, device=CPU)
    found = [next(batches)]
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    sum(range(10_000))  # where a handler would run
    found += list(batches)
    assert_equal_batches(load(Numbers(), range(20), workers=0), found)
    assert ["was killed by SIGKILL" in record.message for record in caplog.records] == [True, True]


def test_worker_that_can_not_even_start_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda count: kill_itself())
    with pytest.raises(RunError, match=r"another loader worker was killed by SIGKILL .* while starting: "):
        load(Numbers(), range(3), 2)
    assert children() == []


def test_workers_leave_stop_signals_to_their_parent() -> None:
    # Every worker gets one SIGTERM (the first) and Ctrl-C, as a process group does.
    def be_stopped(number: int) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)

    batches = load_batches(Numbers(be_stopped), seed=0, batch_size=1, steps=range(1), workers=1, device=CPU)
    assert next(batches).cases == ("case_0",)


def test_kernels_are_compiled_before_workers_start_and_not_without_steps() -> None:
    source = Numbers()
    load(source, range(1), workers=0)
    load(source, range(0), workers=1)
    assert source.warmed == 0
    load(source, range(1), workers=1)
    assert source.warmed == 1


def test_workers_end_with_the_loader_even_if_something_keeps_its_frame() -> None:
    """As a compiler's stored exceptions did: the process then waited for its workers for ever."""
    kept: list[FrameType | None] = []

    class Keeping(Numbers):
        def warm(self) -> None:
            kept.append(sys._getframe().f_back)

    batches = load_batches(Keeping(), seed=1, batch_size=1, steps=range(9), workers=1, device=CPU)
    next(batches)
    assert len(children()) == 1
    batches.close()
    assert kept[0] is not None
    assert children() == []


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A GPU that is not there; tells in which threads batches were copied for it."""
    threads: list[str] = []

    def pin(batch: Batch) -> Batch:
        threads.append(threading.current_thread().name)
        return batch

    monkeypatch.setattr(Batch, "pin_memory", pin)
    monkeypatch.setattr(loader, "_use_device", lambda index: None)
    return threads


def load_for_gpu(source: Numbers, workers: int) -> list[Batch]:
    gpu = torch.device("cuda", 0)
    return list(load_batches(source, seed=5, batch_size=3, steps=range(4), workers=workers, device=gpu))


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_for_a_gpu_are_pinned_and_the_same(workers: int, pinned: list[str]) -> None:
    assert_equal_batches(load(Numbers(), range(4), workers=0), load_for_gpu(Numbers(), workers))
    assert len(pinned) == 4
    assert ("MainThread" in pinned) == (workers == 0)


def test_deaths_are_survived_and_told_from_the_thread_that_pins(pinned: list[str], tmp_path: Path) -> None:
    killed = load_for_gpu(Numbers(At(kill_itself, (7,), once_in=tmp_path)), 1)
    assert_equal_batches(load(Numbers(), range(4), workers=0), killed)
    with pytest.raises(RunError, match=r"another loader worker .* from case_7"):
        load_for_gpu(Numbers(At(kill_itself, (7,))), 1)
    assert children() == []


def test_loader_for_a_gpu_can_be_closed_while_it_waits(pinned: list[str]) -> None:
    source = Numbers(At(wait_for_ever, (3,)))
    gpu = torch.device("cuda", 0)
    batches = load_batches(source, seed=5, batch_size=3, steps=range(4), workers=1, device=gpu)
    next(batches)
    batches.close()
    assert children() == []
