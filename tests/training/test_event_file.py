import csv
import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from event_points import logged_points, read_points

from mixcl_auto.errors import RunError
from mixcl_auto.io.workspace import RunFolder
from mixcl_auto.progress import Silent
from mixcl_auto.training.event_file import EventFile, EventProgress, check_tensorboard, recording_events
from mixcl_auto.training.run_log import StepTable

ROWS = ({"step": 1, "loss": 0.1, "share": None}, {"step": 2, "loss": math.inf, "share": 0.75})


def write_log(folder: RunFolder, *rows: dict[str, float | None]) -> StepTable:
    table = StepTable(folder.log)
    table.append(rows)
    return table


def test_every_value_of_the_log_is_a_point_at_its_step(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_log(folder, *ROWS)
    EventFile(folder.log, folder.events).close()
    points = read_points(folder.events)
    assert {tag: sorted(values) for tag, values in points.items()} == {"loss": [1, 2], "share": [2]}
    assert points["loss"][1] == pytest.approx(0.1, rel=1e-7)
    assert points["loss"][2] == math.inf
    assert points == logged_points(folder.log)


def test_rows_are_copied_once_as_they_come(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    events = EventFile(folder.log, folder.events)
    assert read_points(folder.events) == {}
    table = write_log(folder, ROWS[0])
    events.catch_up()
    events.catch_up()
    assert read_points(folder.events)["loss"].keys() == {1}
    table.append(ROWS[1:])
    events.close()
    assert read_points(folder.events) == logged_points(folder.log)


def test_a_new_file_takes_the_place_of_older_ones_and_of_no_other(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    table = write_log(folder, *ROWS)
    EventFile(folder.log, folder.events).close()
    (folder.events / "note.txt").touch()
    table.cut_after(1)
    EventFile(folder.log, folder.events).close()
    assert read_points(folder.events)["loss"].keys() == {1}
    assert sorted(file.stat().st_size > 0 for file in folder.events.iterdir()) == [False, False, True]


def test_a_viewer_that_watches_forgets_the_points_of_the_older_file(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = RunFolder(tmp_path)
    table = write_log(folder, *ROWS)
    EventFile(folder.log, folder.events).close()
    viewer = EventAccumulator(str(folder.events)).Reload()
    assert [point.step for point in viewer.Scalars("loss")] == [1, 2]
    table.cut_after(1)
    EventFile(folder.log, folder.events).close()
    assert [point.step for point in viewer.Reload().Scalars("loss")] == [1]


def test_progress_is_passed_on_while_the_events_follow(tmp_path: Path) -> None:
    said: list[object] = []

    class Listener(Silent):
        def start(self, description: str, total: int, done: int = 0) -> None:
            said.append((description, total, done))

        def advance(self, units: int = 1, note: str = "") -> None:
            said.append((units, note))

        def finish(self) -> None:
            said.append("end")

    folder = RunFolder(tmp_path)
    progress = EventProgress(Listener(), folder)
    progress.start("train", 2, 0)
    write_log(folder, *ROWS)
    progress.advance(2, "loss 1")
    assert read_points(folder.events) == logged_points(folder.log)
    progress.finish()
    assert said == [("train", 2, 0), (2, "loss 1"), "end"]


def test_rows_before_a_failure_are_copied_at_the_end(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    progress = EventProgress(Silent(), folder)
    progress.start("train", 2)
    write_log(folder, *ROWS)
    progress.finish()
    assert read_points(folder.events) == logged_points(folder.log)


def test_run_that_does_not_train_gets_events_from_its_log(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with recording_events(None, folder, wanted=True):
        pass
    assert not folder.events.exists()
    write_log(folder, *ROWS)
    with recording_events(None, folder, wanted=True):
        pass
    assert read_points(folder.events) == logged_points(folder.log)


def event_files(folder: RunFolder) -> list[str]:
    return sorted(file.name for file in folder.events.iterdir() if file.stat().st_size)


def test_events_that_end_as_the_log_are_left_alone(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_log(folder, *ROWS)
    with recording_events(None, folder, wanted=True):
        pass
    before = event_files(folder)
    with recording_events(None, folder, wanted=True):
        pass
    assert event_files(folder) == before
    assert len(list(folder.events.iterdir())) == 1


@pytest.mark.parametrize("others", [ROWS[:1], (ROWS[0], {"step": 2, "loss": 0.5, "share": 0.75}), ()])
def test_events_of_another_log_are_written_anew(
    tmp_path: Path, others: tuple[dict[str, float | None], ...]
) -> None:
    folder = RunFolder(tmp_path)
    write_log(folder, *others)
    EventFile(folder.log, folder.events).close()
    folder.log.unlink(missing_ok=True)
    write_log(folder, *ROWS)
    with recording_events(None, folder, wanted=True):
        pass
    assert read_points(folder.events) == logged_points(folder.log)


@pytest.mark.parametrize("damage", [lambda data: data[:-3], lambda data: b"rubbish" * 9])
def test_damaged_events_are_written_anew(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    folder = RunFolder(tmp_path)
    write_log(folder, *ROWS)
    EventFile(folder.log, folder.events).close()
    (written,) = folder.events.iterdir()
    written.write_bytes(damage(written.read_bytes()))
    with recording_events(None, folder, wanted=True):
        pass
    assert read_points(folder.events) == logged_points(folder.log)


def test_an_empty_log_does_no_harm(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.log.touch()
    with recording_events(None, folder, wanted=True):
        pass
    assert read_points(folder.events) == {}


def test_nothing_is_written_where_nobody_wants_it(tmp_path: Path) -> None:
    folder, listener = RunFolder(tmp_path), Silent()
    write_log(folder, *ROWS)
    with recording_events(listener, folder, wanted=False) as progress:
        assert progress is listener
    assert not folder.events.exists()


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    check_tensorboard()
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.record_writer", None)
    with pytest.raises(RunError, match=r"pip install 'mixcl_auto\[tensorboard\]'"):
        check_tensorboard()


def test_points_of_a_log_are_read_as_the_writer_means_them(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_log(folder, *ROWS)
    with folder.log.open() as file:
        assert next(csv.reader(file)) == ["step", "loss", "share"]
    assert logged_points(folder.log)["share"] == {2: 0.75}
