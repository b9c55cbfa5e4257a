import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from grid_of_units import finetuning, finish, pretraining, start

from mixcl_auto.io import run_lock
from mixcl_auto.io.files import write_text
from mixcl_auto.io.run_lock import Holder
from mixcl_auto.records.failure import Failure
from mixcl_auto.workflows import experiment_status
from mixcl_auto.workflows.experiment_status import (
    Entry,
    Overview,
    last_step,
    look,
    read_overview,
    typical_seconds,
)

FAILURE = Failure(attempts=3, host="node", at="2026", message="ended with code 1")


def test_states_are_told_by_the_files(tmp_path: Path) -> None:
    waiting, half, done, failed = (finetuning(tmp_path, number) for number in range(4))
    start(half, 20)
    finish(done)
    start(failed, 10)
    write_text(failed.folder.failure, FAILURE.to_json())
    found = read_overview([waiting, half, done, failed]).entries
    assert [entry.state for entry in found] == ["waiting", "stopped", "done", "failed"]
    assert [entry.step for entry in found] == [0, 20, 0, 10]
    assert found[3].note == "ended with code 1"


@pytest.mark.parametrize("content", ["", "{}", '{"attempts": 3, "why": "a later version"}'])
def test_a_note_of_failure_that_tells_nothing_is_none(tmp_path: Path, content: str) -> None:
    unit = finetuning(tmp_path, 0)
    start(unit, 20)
    unit.folder.failure.write_text(content)
    assert look(unit).state == "stopped"


def test_a_note_of_failure_that_goes_while_it_is_read_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_file = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda path: path.name == "failed.json" or is_file(path))
    assert look(finetuning(tmp_path, 0)).state == "waiting"


def test_a_unit_whose_folder_is_a_file_has_failed_and_the_others_are_told(tmp_path: Path) -> None:
    units = [finetuning(tmp_path, number) for number in range(2)]
    units[0].folder.path.parent.mkdir(parents=True)
    units[0].folder.path.write_text("no folder")
    found = read_overview(units).entries
    assert [entry.state for entry in found] == ["failed", "waiting"]
    assert found[0].note.startswith("T, scratch, fold 0: its files can't be read ([Errno 20]")


def test_files_that_the_file_system_refuses_to_read_fail_their_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *arguments: object, **options: object) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))

    unit = finetuning(tmp_path, 0)
    start(unit, 20)
    unit.folder.lock.touch()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "is_file", refuse)
        patched.setattr(Path, "open", refuse)
        patched.setattr(run_lock.os, "open", refuse)
        entry = look(unit)
        assert (last_step(unit.folder.log), typical_seconds(unit.folder.timing)) == (0, None)
    assert entry.state == "failed"
    assert "Stale file handle" in entry.note


def test_a_finished_pre_training_without_its_encoder_is_not_done(tmp_path: Path) -> None:
    unit = pretraining(tmp_path)
    finish(unit)
    assert look(unit).state == "done"
    unit.folder.path.joinpath("encoder.safetensors").unlink()
    assert look(unit).state == "stopped"


def test_scores_of_some_held_out_cases_are_not_done(tmp_path: Path) -> None:
    unit = finetuning(tmp_path, 0)
    finish(unit)
    text = unit.folder.run.read_text()
    unit.folder.run.write_text(text.replace('"a"\n  ]', '"a",\n    "b"\n  ]'))
    assert look(unit).state == "stopped"


def test_who_holds_the_lock_is_named_even_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = finetuning(tmp_path, 0)
    start(unit, 30)
    write_text(unit.folder.failure, FAILURE.to_json())
    monkeypatch.setattr(experiment_status, "holder", lambda folder: Holder(host="node7", pid=5, since="2026"))
    entry = look(unit)
    assert (entry.state, entry.host, entry.step) == ("elsewhere", "node7", 30)


def test_what_waits_for_a_failed_pre_training_is_blocked(tmp_path: Path) -> None:
    units = [pretraining(tmp_path), finetuning(tmp_path, 0, init="mixcl", needs="pre-training mixcl")]
    write_text(units[0].folder.failure, FAILURE.to_json())
    assert [entry.state for entry in read_overview(units).entries] == ["failed", "blocked"]


def test_the_last_step_is_read_from_whole_lines_alone(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    assert last_step(log) == 0
    log.write_text("step,loss\n")
    assert last_step(log) == 0
    log.write_text("step,loss\n" + "".join(f"{step},{'1' * 50}\n" for step in range(1, 301)) + "3019,0.")
    assert last_step(log) == 300


def test_a_steps_time_is_the_median_of_the_rows_that_are_whole(tmp_path: Path) -> None:
    timing = tmp_path / "timing.csv"
    assert typical_seconds(timing) is None
    timing.write_text("step,seconds\n10,9.0\n20,1.0\n30,2.0\n40,1.0\n50,3.0\n60,")
    assert typical_seconds(timing) == 2.0


def test_time_left_is_the_steps_left_over_the_runs_at_work(tmp_path: Path) -> None:
    # left: 80 + 80 steps of 0.5 s in flight, 2 x 100 waiting: 180 s over two
    entries = [
        Entry(finetuning(tmp_path, 0), "running", step=20, seconds_per_step=0.5),
        Entry(finetuning(tmp_path, 1), "elsewhere", step=20, seconds_per_step=0.5),
        Entry(finetuning(tmp_path, 2), "waiting"),
        Entry(finetuning(tmp_path, 3), "stopped"),
        Entry(finetuning(tmp_path, 4), "done", step=100),
        Entry(finetuning(tmp_path, 5), "failed"),
    ]
    assert Overview(tuple(entries)).seconds_left == pytest.approx(90)


def test_time_left_counts_what_finished_runs_took_beside_their_steps(tmp_path: Path) -> None:
    # 100 steps of 0.5 s took 60 s: 10 s beside them. Left: 25 s in flight, 60 s waiting.
    entries = (
        Entry(finetuning(tmp_path, 0), "done", step=100, seconds_per_step=0.5, seconds=60),
        Entry(finetuning(tmp_path, 1), "running", step=50, seconds_per_step=0.5),
        Entry(finetuning(tmp_path, 2), "waiting"),
    )
    assert Overview(entries).seconds_left == pytest.approx(85)


def test_time_left_is_told_between_two_runs_too(tmp_path: Path) -> None:
    entries = (
        Entry(finetuning(tmp_path, 0), "done", step=100, seconds_per_step=0.5, seconds=60),
        Entry(finetuning(tmp_path, 1), "waiting"),
        Entry(finetuning(tmp_path, 2), "waiting"),
    )
    assert Overview(entries).seconds_left is None
    assert Overview(entries, at_once=1).seconds_left == pytest.approx(120)
    assert Overview(entries[:1], at_once=1).seconds_left is None


def test_time_left_is_no_less_than_the_longest_chain(tmp_path: Path) -> None:
    # two at work: 120 s / 2 = 60 s, but the fine-tuning can only follow the pre-training: 50 + 50 s
    entries = (
        Entry(pretraining(tmp_path), "running", step=0, seconds_per_step=0.5),
        Entry(finetuning(tmp_path, 0), "running", step=60, seconds_per_step=0.5),
        Entry(finetuning(tmp_path, 1, init="mixcl", needs="pre-training mixcl"), "waiting"),
    )
    assert Overview(entries).seconds_left == pytest.approx(100)


def test_no_time_left_is_told_before_there_is_a_measure_or_where_nothing_runs(tmp_path: Path) -> None:
    running = Entry(pretraining(tmp_path), "running", step=10, seconds_per_step=0.5)
    waiting = Entry(finetuning(tmp_path, 0), "waiting")
    measured = Entry(finetuning(tmp_path, 1), "stopped", step=10, seconds_per_step=0.5)
    assert Overview((running, waiting)).seconds_left is None
    assert Overview((waiting, measured)).seconds_left is None
    assert Overview((running, waiting, measured)).seconds_left is not None


def test_looking_at_an_experiment_loads_no_network_library() -> None:
    code = "import sys, mixcl_auto.workflows.experiment; print({'torch', 'monai', 'ray'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout == "set()\n"
