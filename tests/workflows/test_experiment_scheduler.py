import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from grid_of_units import FakeEngine, FakeTask, finetuning, finish, pretraining, start

from mixcl_auto.engines.command import CommandError
from mixcl_auto.engines.engine import Outcome, Resources, Task
from mixcl_auto.errors import RESUME_CODE, RunError
from mixcl_auto.io.run_lock import Holder
from mixcl_auto.io.runs import read_failure
from mixcl_auto.workflows import experiment_status
from mixcl_auto.workflows.experiment_scheduler import Scheduler
from mixcl_auto.workflows.experiment_status import Entry, Overview
from mixcl_auto.workflows.experiment_units import GridUnit


class Recorder:
    def __init__(self) -> None:
        self.changes: list[tuple[str, str]] = []
        self.notes: list[str] = []

    def changed(self, entry: Entry, overview: Overview) -> None:
        self.changes.append((entry.unit.name, entry.state))
        self.notes.append(entry.note)

    def tick(self, overview: Overview) -> None:
        pass


def make(
    units: Sequence[GridUnit],
    effect: Callable[[GridUnit], Exception | None] | None = None,
    *,
    cores: int = 2,
    retries: int = 2,
    watcher: Recorder | None = None,
    pause: Callable[[float], None] = lambda seconds: None,
    settling_s: float = 0.0,
    turn: int = 0,
    kind: type[FakeEngine] = FakeEngine,
) -> tuple[Scheduler, FakeEngine]:
    by_name = {unit.name: unit for unit in units}
    engine = kind(lambda name: (effect or finish)(by_name[name]), cores)
    scheduler = Scheduler(
        units,
        engine,
        task_of=lambda unit: FakeTask(unit.name),
        resources_of=lambda unit: Resources(cpus=unit.threads),
        retries=retries,
        watcher=watcher,
        tick_s=0.0,
        look_again_s=0.0,
        settling_s=settling_s,
        turn=turn,
        pause=pause,
    )
    return scheduler, engine


def states(overview: Overview) -> dict[str, str]:
    return {entry.unit.name: entry.state for entry in overview.entries}


def test_pre_trainings_go_first_then_the_longest_and_those_that_need_one_wait(tmp_path: Path) -> None:
    units = [
        finetuning(tmp_path, 0, steps=10),
        finetuning(tmp_path, 1, steps=30),
        finetuning(tmp_path, 2, init="mixcl", steps=99, needs="pre-training mixcl"),
        pretraining(tmp_path),
    ]
    scheduler, engine = make(units)
    overview = scheduler.run()
    assert engine.submitted == [
        "pre-training mixcl",
        "T, scratch, fold 1",
        "T, mixcl, fold 2",
        "T, scratch, fold 0",
    ]
    assert set(states(overview).values()) == {"done"}


def test_no_more_are_in_flight_than_the_engine_has_room_for(tmp_path: Path) -> None:
    scheduler, engine = make([finetuning(tmp_path, number) for number in range(9)], cores=3)
    scheduler.run()
    assert engine.most_at_once == 3
    assert len(engine.submitted) == 9


def test_a_unit_that_takes_all_cores_runs_alone(tmp_path: Path) -> None:
    units = [pretraining(tmp_path, threads=2), *(finetuning(tmp_path, number) for number in range(2))]
    alone: list[int] = []

    def effect(unit: GridUnit) -> None:
        if unit.is_pretraining:
            alone.append(len(engine.in_flight))
        finish(unit)

    scheduler, engine = make(units, effect)
    scheduler.run()
    assert alone == [0]
    assert engine.most_at_once == 2


def test_what_is_done_is_not_run_again(tmp_path: Path) -> None:
    units = [finetuning(tmp_path, number) for number in range(2)]
    finish(units[0])
    scheduler, engine = make(units)
    scheduler.run()
    assert engine.submitted == ["T, scratch, fold 1"]


def test_a_unit_that_fails_is_tried_again_and_then_done(tmp_path: Path) -> None:
    unit, watcher = finetuning(tmp_path, 0), Recorder()
    errors = [RunError("first"), RunError("second")]

    def effect(unit: GridUnit) -> Exception | None:
        return errors.pop(0) if errors else finish(unit)

    scheduler, engine = make([unit], effect, watcher=watcher)
    assert states(scheduler.run()) == {unit.name: "done"}
    assert len(engine.submitted) == 3
    assert [state for _, state in watcher.changes] == [
        "running",
        "waiting",
        "running",
        "waiting",
        "running",
        "done",
    ]
    assert "first\nattempt 1 of 3" in watcher.notes[1]


def test_after_the_last_try_it_has_failed_and_blocks_what_needs_it(tmp_path: Path) -> None:
    units = [
        pretraining(tmp_path),
        finetuning(tmp_path, 0, init="mixcl", needs="pre-training mixcl"),
        finetuning(tmp_path, 1),
    ]

    def effect(unit: GridUnit) -> Exception | None:
        return RunError("code 1; the end of its log:\nno memory") if unit.is_pretraining else finish(unit)

    scheduler, engine = make(units, effect, retries=1)
    overview = scheduler.run()
    assert states(overview) == {
        "pre-training mixcl": "failed",
        "T, mixcl, fold 0": "blocked",
        "T, scratch, fold 1": "done",
    }
    assert engine.submitted.count("pre-training mixcl") == 2
    failure = read_failure(units[0].folder)
    assert failure is not None
    assert (failure.attempts, failure.message) == (2, "code 1; the end of its log:\nno memory")
    assert overview.of("failed")[0].note == failure.message


def test_another_experiment_tries_again_what_failed(tmp_path: Path) -> None:
    unit = finetuning(tmp_path, 0)
    make([unit], lambda unit: RunError("broken"), retries=0)[0].run()
    assert unit.folder.failure.is_file()
    scheduler, _ = make([unit])
    assert states(scheduler.run()) == {unit.name: "done"}
    assert not unit.folder.failure.exists()


def test_an_error_does_not_count_where_the_files_say_done(tmp_path: Path) -> None:
    unit = finetuning(tmp_path, 0)

    def effect(unit: GridUnit) -> Exception:
        finish(unit)
        return RunError("killed while it left")

    scheduler, engine = make([unit], effect)
    assert states(scheduler.run()) == {unit.name: "done"}
    assert len(engine.submitted) == 1


def test_an_end_without_error_does_not_count_where_the_files_say_unfinished(tmp_path: Path) -> None:
    unit = finetuning(tmp_path, 0)
    scheduler, engine = make([unit], lambda unit: None)
    overview = scheduler.run()
    assert states(overview) == {unit.name: "failed"}
    assert "ended without an error and is not finished" in overview.entries[0].note
    assert len(engine.submitted) == 3


def test_files_that_show_a_moment_after_the_end_are_waited_for(tmp_path: Path) -> None:
    unit, watcher = finetuning(tmp_path, 0), Recorder()
    scheduler, engine = make(
        [unit],
        lambda unit: None,
        retries=0,
        watcher=watcher,
        pause=lambda seconds: finish(unit),
        settling_s=60,
    )
    assert states(scheduler.run()) == {unit.name: "done"}
    assert engine.submitted == [unit.name]
    assert [state for _, state in watcher.changes] == ["running", "done"]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """Folders that another process works on."""
    folders: set[Path] = set()
    someone = Holder(host="elsewhere", pid=1, since="2026")
    monkeypatch.setattr(
        experiment_status, "holder", lambda folder: someone if folder.path in folders else None
    )
    return folders


def test_what_another_process_works_on_is_left_to_it(tmp_path: Path, held: set[Path]) -> None:
    units = [pretraining(tmp_path), finetuning(tmp_path, 0, init="mixcl", needs="pre-training mixcl")]
    held.add(units[0].folder.path)

    def let_it_end(seconds: float) -> None:
        held.clear()
        finish(units[0])

    scheduler, engine = make(units, pause=let_it_end)
    assert set(states(scheduler.run()).values()) == {"done"}
    assert engine.submitted == [units[1].name]


def test_what_another_process_gave_up_is_taken_over(tmp_path: Path, held: set[Path]) -> None:
    unit, watcher = finetuning(tmp_path, 0), Recorder()
    start(unit, 20)
    held.add(unit.folder.path)
    scheduler, _ = make([unit], watcher=watcher, pause=lambda seconds: held.clear())
    assert states(scheduler.run()) == {unit.name: "done"}
    assert [state for _, state in watcher.changes] == ["stopped", "running", "done"]


def test_losing_the_race_for_a_lock_is_no_failure(tmp_path: Path, held: set[Path]) -> None:
    unit = finetuning(tmp_path, 0)

    def lose(unit: GridUnit) -> Exception:
        held.add(unit.folder.path)
        return RunError("process 1 on elsewhere has been working on this run")

    def let_it_end(seconds: float) -> None:
        held.clear()
        finish(unit)

    scheduler, engine = make([unit], lose, retries=0, pause=let_it_end)
    assert states(scheduler.run()) == {unit.name: "done"}
    assert engine.submitted == [unit.name]


def test_a_refused_process_is_no_failure_even_if_the_run_is_free_by_now(tmp_path: Path) -> None:
    unit, watcher = finetuning(tmp_path, 0), Recorder()
    refusal = "Error: x: process 1 on n7 has been working on this run since 2026; wait for it, or stop it"
    errors = [CommandError(f"it ended with code 1; the end of its log:\n{refusal}", 1, refusal)]

    def effect(unit: GridUnit) -> Exception | None:
        return errors.pop() if errors else finish(unit)

    scheduler, _ = make([unit], effect, retries=0, watcher=watcher)
    assert states(scheduler.run()) == {unit.name: "done"}
    assert [state for _, state in watcher.changes] == ["running", "elsewhere", "waiting", "running", "done"]
    assert not any(watcher.notes)


def test_a_process_that_others_stopped_goes_on_and_has_not_failed(tmp_path: Path) -> None:
    unit, watcher = finetuning(tmp_path, 0), Recorder()
    errors: list[Exception] = [CommandError("it ended with code 75", RESUME_CODE, "saved") for _ in range(5)]
    scheduler, engine = make(
        [unit], lambda unit: errors.pop() if errors else finish(unit), retries=0, watcher=watcher
    )
    assert states(scheduler.run()) == {unit.name: "done"}
    assert len(engine.submitted) == 6
    assert not any(watcher.notes)


@pytest.mark.parametrize(("turn", "first"), [(0, 0), (1, 2), (6, 3)])
def test_processes_begin_with_different_ones_of_equal_units(tmp_path: Path, turn: int, first: int) -> None:
    units = [finetuning(tmp_path, number) for number in range(5)]
    units += [finetuning(tmp_path, 5, steps=999), pretraining(tmp_path)]
    finish(units[1])  # what is done takes no turn: 0, 2, 3, 4 are left
    scheduler, engine = make(units, turn=turn, cores=1)
    scheduler.run()
    assert engine.submitted[:3] == ["pre-training mixcl", "T, scratch, fold 5", f"T, scratch, fold {first}"]
    assert len(set(engine.submitted)) == 6


def test_equal_pre_trainings_take_turns_too(tmp_path: Path) -> None:
    units = [pretraining(tmp_path, name) for name in ("mixcl", "supervised")]
    scheduler, engine = make(units, turn=1, cores=1)
    scheduler.run()
    assert engine.submitted == ["pre-training supervised", "pre-training mixcl"]


class LosesItsNodes(FakeEngine):
    """A cluster whose nodes go after the first task and come back later."""

    lost = False

    def capacity(self, resources: Resources) -> int:
        if self.lost:
            raise RunError("no node of the Ray cluster can run a task of 1 CPUs")
        return super().capacity(resources)

    def submit(self, task: Task[Any], resources: Resources) -> None:
        self.capacity(resources)
        super().submit(task, resources)

    def wait(self, seconds: float | None = None) -> Outcome[Any, Any] | None:
        outcome = super().wait(seconds)
        self.lost = True
        return outcome


def test_what_can_not_be_placed_for_want_of_a_node_is_tried_again_when_there_is_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    units, watcher, pauses = [finetuning(tmp_path, number) for number in range(2)], Recorder(), []

    def come_back_at_the_third(seconds: float) -> None:
        pauses.append(seconds)
        engine.lost = len(pauses) < 3

    scheduler, engine = make(
        units, retries=0, cores=1, watcher=watcher, pause=come_back_at_the_third, kind=LosesItsNodes
    )
    with caplog.at_level(logging.WARNING):
        assert set(states(scheduler.run()).values()) == {"done"}
    assert len(pauses) == 3
    assert [state for _, state in watcher.changes] == ["running", "done"] * 2
    assert caplog.text.count("runs wait for the engine: no node of the Ray cluster") == 1


def test_a_unit_whose_folder_is_a_file_fails_alone(tmp_path: Path) -> None:
    units, watcher = [finetuning(tmp_path, number) for number in range(3)], Recorder()
    units[1].folder.path.parent.mkdir(parents=True)
    units[1].folder.path.write_text("no folder")
    scheduler, engine = make(units, watcher=watcher)
    found = scheduler.run()
    assert states(found) == {units[0].name: "done", units[1].name: "failed", units[2].name: "done"}
    assert "T, scratch, fold 1 can't be started: " in found.of("failed")[0].note
    assert str(units[1].folder.path) in found.of("failed")[0].note
    assert len([name for name, state in watcher.changes if state == "waiting"]) == 2  # tried again twice
    assert units[1].name not in engine.submitted


def test_a_unit_whose_task_can_not_be_made_fails_alone(tmp_path: Path) -> None:
    units = [finetuning(tmp_path, number) for number in range(2)]
    by_name = {unit.name: unit for unit in units}

    def task_of(unit: GridUnit) -> FakeTask:
        if unit is units[0]:
            raise RunError("no such weights file")
        return FakeTask(unit.name)

    scheduler = Scheduler(
        units,
        FakeEngine(lambda name: finish(by_name[name])),
        task_of=task_of,
        resources_of=lambda unit: Resources(),
        tick_s=0.0,
        turn=0,
        pause=lambda seconds: None,
    )
    assert list(states(scheduler.run()).values()) == ["failed", "done"]


def test_a_failure_that_can_not_be_noted_in_the_folder_is_shown(tmp_path: Path) -> None:
    units = [finetuning(tmp_path, number) for number in range(2)]

    def effect(unit: GridUnit) -> Exception | None:
        if unit is units[1]:
            return finish(unit)
        unit.folder.path.parent.mkdir(parents=True, exist_ok=True)
        unit.folder.path.write_text("in the folder's place")
        return RunError("its disk is gone")

    scheduler, _ = make(units, effect, retries=0)
    found = scheduler.run()
    assert states(found) == {units[0].name: "failed", units[1].name: "done"}
    assert found.of("failed")[0].note == "its disk is gone"


def test_a_stop_submits_nothing_more(tmp_path: Path) -> None:
    units = [finetuning(tmp_path, number) for number in range(5)]
    scheduler, engine = make(units, cores=3)
    overview = scheduler.run(lambda: len(engine.submitted) == 2)
    assert len(engine.submitted) == 2
    assert sorted(states(overview).values()) == ["done", "running", "waiting", "waiting", "waiting"]


def test_a_unit_that_the_engine_can_never_run_is_refused_before_any_starts(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no GPU here"):
        Scheduler(
            [finetuning(tmp_path, 0)],
            FakeEngine(lambda name: None),
            task_of=lambda unit: FakeTask(unit.name),
            resources_of=lambda unit: Resources(gpus=1.0),
        )
