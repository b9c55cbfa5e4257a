import csv
import math
import os
import signal
import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mixcl_auto.distributed.ranks import Ranks
from mixcl_auto.errors import RunError, RunStoppedError
from mixcl_auto.io.workspace import PretrainFolder
from mixcl_auto.progress import Silent
from mixcl_auto.records.plan import Plan, TrainerPlan
from mixcl_auto.training import loader_workers, loop
from mixcl_auto.training.curves import Panel
from mixcl_auto.training.failed_step import read_failed_step
from mixcl_auto.training.interruption import signal_name
from mixcl_auto.training.loader import load_batches
from mixcl_auto.training.loop import Job, train
from mixcl_auto.training.run_log import Value
from mixcl_auto.training.samples import Batch, Sample, sample_generator
from mixcl_auto.training.state import TrainingState, resume_state, start_state

CPU = torch.device("cpu")
STEPS = 7


class Points:
    def draw(self, generator: np.random.Generator, number: int) -> Sample:
        return Sample({"x": generator.standard_normal((1, 2, 2, 2), np.float32)}, (f"case_{number}",))

    def warm(self) -> None:
        pass


@dataclass
class Square:
    """The mean square of a small network's output; does what a test wants at a step."""

    network: nn.Module
    at_step: int = -1
    action: str | signal.Signals = ""
    calls: int = 0
    measured: list[bool] = field(default_factory=list)

    def __call__(self, batch: Batch, *, measure_gradients: bool) -> tuple[Tensor, dict[str, Value]]:
        loss = self.network(batch.tensors["x"]).square().mean()
        if self.calls == self.at_step and self.action == "nan":
            loss = loss * math.nan
        if self.calls == self.at_step and isinstance(self.action, signal.Signals):
            os.kill(os.getpid(), self.action)
        self.calls += 1
        self.measured.append(measure_gradients)
        return loss, {"loss": loss, "share": loss * 2 if measure_gradients else None}


class Watcher(Silent):
    def __init__(self) -> None:
        self.total = self.done = 0
        self.notes: list[str] = []
        self.is_finished = False

    def start(self, description: str, total: int, done: int = 0) -> None:
        self.total, self.done = total, done

    def advance(self, units: int = 1, note: str = "") -> None:
        self.done += units
        self.notes.append(note)

    def finish(self) -> None:
        self.is_finished = True


def make_plan(**changes: object) -> TrainerPlan:
    values = {
        "iterations": STEPS,
        "batch_size": 2,
        "learning_rate": 0.05,
        "warmup_iterations": 2,
        "precision": "fp32",
        "workers": 0,
        "checkpoint_every": 3,
        "gradient_every": 2,
    }
    return TrainerPlan.model_validate(values | changes)


def make_run(path: Path, plan: TrainerPlan, **objective: object) -> tuple[Job, TrainingState]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(1, 4, 1), nn.ReLU(), nn.Conv3d(4, 1, 1))
    state = start_state(network, plan, device=CPU, precision="fp32")
    job = Job(
        description="squares",
        objective=Square(network, **objective),
        source=Points(),
        plan=Plan(),
        trainer=plan,
        steps=STEPS,
        folder=PretrainFolder(path),
        device=CPU,
        precision="fp32",
        panels=[Panel("Loss", ("loss",))],
    )
    return job, state


def run(path: Path, *, stop_after: int | None = None, **changes: object) -> TrainingState:
    job, state = make_run(path, make_plan(**changes))
    resume_state(job.folder.checkpoint, state)
    train(job, state, progress=Silent(), stop_after=stop_after)
    return state


def drawn_again(job: Job, *, step: int) -> Tensor:
    size = job.trainer.batch_size
    draws = [
        job.source.draw(sample_generator(job.trainer.seed, step, i), size * step + i) for i in range(size)
    ]
    return torch.from_numpy(np.stack([sample.arrays["x"] for sample in draws]))


def weights(state: TrainingState) -> list[Tensor]:
    return [tensor.clone() for tensor in state.network.state_dict().values()]


def assert_same_result(first: tuple[Path, TrainingState], second: tuple[Path, TrainingState]) -> None:
    assert (first[0] / "log.csv").read_bytes() == (second[0] / "log.csv").read_bytes()
    assert all(torch.equal(a, b) for a, b in zip(weights(first[1]), weights(second[1]), strict=True))


def test_run_writes_log_timings_checkpoint_and_picture(tmp_path: Path) -> None:
    state = run(tmp_path)
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "5", "6", "7"]
    assert list(rows[0]) == ["step", "learning_rate", "loss", "share", "gradient_norm"]
    assert rows[0]["learning_rate"] == "0.025"
    assert [row["share"] != "" for row in rows] == [True, False, True, False, True, False, True]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert state.step == STEPS
    timing = (tmp_path / "timing.csv").read_text().splitlines()
    assert timing[0] == "step,seconds,samples_per_second,waiting_share,peak_memory_mb"
    assert [line.split(",")[0] for line in timing[1:]] == ["3", "6", "7"]
    assert (tmp_path / "progress.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("seconds", "drawn"), [(0.0, [3, 6, 7]), (1e6, [7])])
def test_picture_is_drawn_during_the_run_but_not_too_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, drawn: list[int]
) -> None:
    rows: list[int] = []
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_PICTURES", seconds)
    monkeypatch.setattr(
        loop, "draw_curves", lambda log, *_, **__: rows.append(len(log.read_text().splitlines()) - 1)
    )
    run(tmp_path)
    assert rows == drawn


def test_first_step_worked_by_hand(tmp_path: Path) -> None:
    job, state = make_run(tmp_path, make_plan(weight_decay=0.0))
    before = weights(state)
    train(job, state, progress=Silent(), stop_after=1)
    # AdamW's first step moves every weight that has a gradient by the learning rate, here 0.05 / 2.
    moves = torch.cat([(a - b).abs().flatten() for a, b in zip(weights(state), before, strict=True)])
    assert moves[moves > 0].numpy() == pytest.approx(0.025, rel=1e-3)


@pytest.mark.parametrize("workers", [1, 2])
def test_result_does_not_depend_on_workers(tmp_path: Path, workers: int) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    assert_same_result((first, run(first)), (second, run(second, workers=workers)))


@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_stopped_and_resumed_run_equals_the_uninterrupted_one(tmp_path: Path, stop_after: int) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = run(whole)
    assert run(parts, stop_after=stop_after).step == stop_after
    assert_same_result((whole, expected), (parts, run(parts)))


def test_two_threads_give_one_result_that_resumes_exactly(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = run(whole, threads=2)
    run(parts, threads=2, stop_after=2)
    assert_same_result((whole, expected), (parts, run(parts, threads=2)))


def test_killed_run_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    expected = run(whole)
    run(killed, stop_after=5)
    # Killed within step 6 the run leaves the checkpoint of step 3, and a log that went on to 5 and a half.
    (killed / "checkpoint.previous.pt").replace(killed / "checkpoint.pt")
    with (killed / "log.csv").open("a") as file:
        file.write("6,0.0")
    assert_same_result((whole, expected), (killed, run(killed)))


def test_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    whole, damaged = tmp_path / "whole", tmp_path / "damaged"
    expected = run(whole)
    run(damaged, stop_after=5)
    content = (damaged / "checkpoint.pt").read_bytes()
    (damaged / "checkpoint.pt").write_bytes(content[: len(content) // 2])
    assert_same_result((whole, expected), (damaged, run(damaged)))


def test_finished_run_does_nothing_more(tmp_path: Path) -> None:
    state = run(tmp_path)
    log = (tmp_path / "log.csv").read_bytes()
    assert_same_result((tmp_path, state), (tmp_path, run(tmp_path)))
    assert (tmp_path / "log.csv").read_bytes() == log


def test_non_finite_loss_stops_and_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    job, state = make_run(tmp_path, make_plan(), at_step=4, action="nan")
    with pytest.raises(RunError, match=r"step 5 is not finite .*cases of its batch: case_8, case_9\."):
        train(job, state, progress=Silent())
    _, fresh = make_run(tmp_path, make_plan())
    assert resume_state(job.folder.checkpoint, fresh)
    assert fresh.step == 3
    assert all(tensor.isfinite().all() for tensor in weights(fresh))


def test_the_weights_before_a_non_finite_step_stay_and_are_kept_with_its_batch(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", stop_after=4)
    job, state = make_run(tmp_path / "spoilt", make_plan(workers=1), at_step=4, action="nan")
    with pytest.raises(RunError, match=r"mixcl_auto doctor --step .*non_finite_step\.pt` repeats it"):
        train(job, state, progress=Silent())
    assert all(torch.equal(a, b) for a, b in zip(weights(state), weights(whole), strict=True))
    kept = read_failed_step(job.folder.failed_step)
    assert (kept.section, kept.step, kept.batch.cases) == ("finetune", 5, ("case_8", "case_9"))
    assert "loss nan" in kept.terms
    assert all(torch.equal(a, b) for a, b in zip(kept.network.values(), weights(whole), strict=True))
    assert torch.equal(kept.batch.tensors["x"], drawn_again(job, step=4))


def test_a_step_that_can_not_be_kept_is_told_all_the_same(tmp_path: Path) -> None:
    job, state = make_run(tmp_path, make_plan(), at_step=0, action="nan")
    job.folder.failed_step.mkdir(parents=True)
    with pytest.raises(RunError, match=r"step 1 is not finite .* could not be kept .*non_finite_step\.pt"):
        train(job, state, progress=Silent())


def test_values_that_come_late_still_find_the_weights_before_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(tmp_path / "whole", stop_after=2)
    job, state = make_run(tmp_path / "late", make_plan(checkpoint_every=100), at_step=2, action="nan")
    monkeypatch.setattr(loop, "rows_per_flush", lambda device: 6)  # as on a GPU
    with pytest.raises(RunError, match="step 3 is not finite"):
        train(job, state, progress=Silent())
    assert state.step == 6
    assert all(torch.equal(a, b) for a, b in zip(weights(state), weights(whole), strict=True))


def test_under_fp16_the_weights_before_a_loss_that_is_not_finite_stay_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scaled(state: TrainingState) -> TrainingState:
        return replace(state, scaler=torch.amp.GradScaler("cpu", init_scale=4.0))

    job, state = make_run(tmp_path / "whole", make_plan())
    whole = scaled(state)
    train(job, whole, progress=Silent(), stop_after=2)
    job, state = make_run(tmp_path / "late", make_plan(checkpoint_every=100), at_step=2, action="nan")
    late = scaled(state)
    monkeypatch.setattr(loop, "rows_per_flush", lambda device: 6)
    with pytest.raises(RunError, match="step 3 is not finite"):
        train(job, late, progress=Silent())
    assert all(torch.equal(a, b) for a, b in zip(weights(late), weights(whole), strict=True))


def test_a_signal_while_the_last_state_is_saved_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "draw_curves", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    job, state = make_run(tmp_path, make_plan())
    with pytest.raises(RunStoppedError, match="SIGTERM stopped the run after step 7 of 7"):
        train(job, state, progress=Silent())


def test_a_picture_that_can_not_be_written_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    whole = run(tmp_path / "whole")
    monkeypatch.setattr(loop, "draw_curves", fail)
    assert_same_result((tmp_path / "whole", whole), (tmp_path / "other", run(tmp_path / "other")))
    assert "progress.png can't be written (No space left on device); the run goes on" in caplog.text


class Stuck(Points):
    """Stands still at the sixth sample."""

    def draw(self, generator: np.random.Generator, number: int) -> Sample:
        while number == 5:
            time.sleep(1)
        return super().draw(generator, number)


def test_a_stop_does_not_wait_for_a_batch_that_does_not_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader_workers, "_STOP_PATIENCE_S", 0.6)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    expected = run(whole)
    job, state = make_run(stopped, make_plan(workers=1, checkpoint_every=100))
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    of_this_test = signal.setitimer(signal.ITIMER_REAL, 1.5)
    try:
        with pytest.raises(RunStoppedError, match="--max-time stopped the run after step 2 of 7"):
            train(replace(job, source=Stuck()), state, progress=Silent())
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *of_this_test)
    assert_same_result((whole, expected), (stopped, run(stopped)))


def test_an_alarm_of_the_callers_own_is_left_to_it(tmp_path: Path) -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: rung.append(number))
    of_this_test = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        job, state = make_run(tmp_path, make_plan(), at_step=3, action=signal.SIGALRM)
        assert train(job, state, progress=Silent())
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *of_this_test)
    assert rung == [signal.SIGALRM]


def test_a_run_that_passes_the_step_forgets_it(tmp_path: Path) -> None:
    job, state = make_run(tmp_path, make_plan(), at_step=4, action="nan")
    with pytest.raises(RunError):
        train(job, state, progress=Silent())
    assert job.folder.failed_step.is_file()
    run(tmp_path)
    assert not job.folder.failed_step.exists()


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP])
def test_other_requests_to_stop_save_too(tmp_path: Path, number: signal.Signals) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    expected = run(whole)
    job, state = make_run(stopped, make_plan(), at_step=3, action=number)
    with pytest.raises(RunStoppedError, match=f"{signal_name(number)} stopped the run after step 4 of 7"):
        train(job, state, progress=Silent())
    assert_same_result((whole, expected), (stopped, run(stopped)))


def test_a_signal_that_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        job, state = make_run(tmp_path, make_plan(), at_step=3, action=signal.SIGHUP)
        assert train(job, state, progress=Silent())
    finally:
        signal.signal(signal.SIGHUP, before)


def test_sigterm_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    expected = run(whole)
    before = signal.getsignal(signal.SIGTERM)
    job, state = make_run(stopped, make_plan(workers=1), at_step=3, action=signal.SIGTERM)
    with pytest.raises(RunError, match=r"SIGTERM stopped the run after step 4 of 7; .* same command again"):
        train(job, state, progress=Silent())
    assert signal.getsignal(signal.SIGTERM) is before
    assert_same_result((whole, expected), (stopped, run(stopped)))


def test_sigterm_in_the_last_step_stops_before_what_follows_training(tmp_path: Path) -> None:
    job, state = make_run(tmp_path, make_plan(), at_step=STEPS - 1, action=signal.SIGTERM)
    watcher = Watcher()
    with pytest.raises(RunError, match="SIGTERM stopped the run after step 7 of 7"):
        train(job, state, progress=watcher)
    assert watcher.is_finished
    job, state = make_run(tmp_path, make_plan())
    resume_state(job.folder.checkpoint, state)
    assert train(job, state, progress=Silent())
    assert job.objective.calls == 0


def test_progress_counts_every_step_of_a_resumed_run(tmp_path: Path) -> None:
    run(tmp_path, stop_after=2)
    job, state = make_run(tmp_path, make_plan())
    resume_state(job.folder.checkpoint, state)
    watcher = Watcher()
    assert train(job, state, progress=watcher)
    assert (watcher.total, watcher.done, watcher.is_finished) == (STEPS, STEPS, True)
    assert watcher.notes[-1].startswith("loss ")


def test_gradient_measurements_follow_the_step_and_not_the_call(tmp_path: Path) -> None:
    run(tmp_path, stop_after=1)
    job, state = make_run(tmp_path, make_plan())
    resume_state(job.folder.checkpoint, state)
    train(job, state, progress=Silent())
    assert job.objective.measured == [False, True, False, True, False, True]


def test_clipping_bounds_the_update_and_logs_the_norm_before(tmp_path: Path) -> None:
    free, clipped = tmp_path / "free", tmp_path / "clipped"
    run(free, stop_after=1)
    run(clipped, stop_after=1, gradient_clip_norm=1e-6)
    assert (free / "log.csv").read_bytes() == (clipped / "log.csv").read_bytes()
    first, second = (torch.load(path / "checkpoint.pt")["optimiser"]["state"] for path in (free, clipped))
    assert second[0]["exp_avg"].norm() < 1e-3 * first[0]["exp_avg"].norm()


def test_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    run(tmp_path, stop_after=1)
    other = start_state(nn.Conv3d(1, 1, 1), make_plan(), device=CPU, precision="fp32")
    with pytest.raises(
        RunError, match=r"the checkpoint does not fit this run .*; remove .* to start it again"
    ):
        resume_state(tmp_path / "checkpoint.pt", other)


def test_state_without_a_checkpoint_starts_at_step_0(tmp_path: Path) -> None:
    _, state = make_run(tmp_path, make_plan())
    assert not resume_state(tmp_path / "checkpoint.pt", state)
    assert state.step == 0


@pytest.mark.parametrize(("processes", "workers"), [(1, 5), (2, 3), (8, 1)])
def test_processes_on_one_machine_share_its_loader_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int, workers: int
) -> None:
    job, state = make_run(tmp_path, make_plan(workers=5))
    asked = []

    def note(*arguments: object, **options: object) -> Generator[Batch, None, None]:
        asked.append(options["workers"])
        return load_batches(*arguments, **{**options, "workers": 0})

    monkeypatch.setattr(loop, "load_batches", note)
    train(replace(job, ranks=Ranks(local_count=processes)), state, progress=Silent())
    assert asked == [workers]
