import math
from pathlib import Path

import pytest
import torch
from full_disk import full_beyond

from mixcl_auto.errors import RunError
from mixcl_auto.training.run_log import RunLog, StepTable, format_value


def test_nine_digits_tell_neighbouring_float32_apart() -> None:
    value = torch.tensor(0.1)
    neighbour = torch.nextafter(value, torch.tensor(1.0))
    assert format_value(value.item()) != format_value(neighbour.item())
    assert torch.tensor(float(format_value(neighbour.item()))) == neighbour


def test_undefined_values_are_empty_cells() -> None:
    assert [format_value(value) for value in (None, math.nan, math.inf, 3, 0.5)] == [
        "",
        "",
        "inf",
        "3",
        "0.5",
    ]


def test_rows_of_many_steps_are_written_by_one_flush(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "run" / "log.csv", must_be_finite=["loss"])
    log.add(1, {"rate": 0.5, "loss": torch.tensor(2.0), "share": None}, ["a"])
    log.add(2, {"rate": 0.25, "loss": torch.tensor(1.5), "share": torch.tensor(0.75)}, ["b"])
    assert not (tmp_path / "run" / "log.csv").exists()
    assert log.flush() == {"step": 2, "rate": 0.25, "loss": 1.5, "share": 0.75}
    assert (tmp_path / "run" / "log.csv").read_text() == "step,rate,loss,share\n1,0.5,2,\n2,0.25,1.5,0.75\n"
    assert log.flush() == {}


def test_non_finite_loss_names_step_terms_and_cases(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "log.csv", must_be_finite=["loss"])
    log.add(1, {"loss": torch.tensor(1.0), "other": torch.tensor(math.nan)}, ["fine"])
    log.add(
        2, {"loss": torch.tensor(math.inf), "other": torch.tensor(0.5)}, ["Liver/3", "Liver/4", "Liver/3"]
    )
    log.add(3, {"loss": torch.tensor(math.nan), "other": torch.tensor(0.5)}, ["later"])
    with pytest.raises(
        RunError, match=r"step 2 is not finite \(loss inf, other 0.5\); .*: Liver/3, Liver/4\. "
    ):
        log.flush()
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 4


def test_resumed_log_loses_the_rows_after_the_checkpoint_and_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,loss\n1,5\n2,4\n3,3\n4,2")
    table = StepTable(path)
    table.cut_after(2)
    assert path.read_text() == "step,loss\n1,5\n2,4\n"
    table.append([{"step": 3, "loss": 2.5}])
    assert path.read_text() == "step,loss\n1,5\n2,4\n3,2.5\n"


def test_torn_line_is_dropped_even_where_its_step_would_stay(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,loss\n1,5\n2,0.1")
    StepTable(path).cut_after(2)
    assert path.read_text() == "step,loss\n1,5\n"


@pytest.mark.parametrize("content", ["step,loss\n1,5\n", "step,lo", ""])
def test_run_that_starts_anew_starts_its_log_anew(tmp_path: Path, content: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(content)
    table = StepTable(path)
    table.cut_after(0)
    assert not path.exists()
    table.append([{"step": 1, "total": 2.0}])
    assert path.read_text() == "step,total\n1,2\n"


def test_file_without_a_whole_header_is_started_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,lo")
    table = StepTable(path)
    table.cut_after(5)
    table.append([{"step": 6, "loss": 1.0}])
    assert path.read_text() == "step,loss\n6,1\n"


def test_other_columns_than_the_first_rows_are_refused(tmp_path: Path) -> None:
    table = StepTable(tmp_path / "log.csv")
    table.append([{"step": 1, "loss": 1.0}])
    with pytest.raises(RunError, match="columns changed from step, loss to step, total"):
        table.append([{"step": 2, "total": 1.0}])


def test_nothing_is_written_for_no_rows(tmp_path: Path) -> None:
    table = StepTable(tmp_path / "log.csv")
    table.append([])
    table.sync()
    assert not (tmp_path / "log.csv").exists()


def test_a_log_that_is_no_table_of_steps_is_named(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,loss\nrubbish\n")
    with pytest.raises(RunError, match=r"log\.csv: not a table of steps, or damaged; restore it, or remove"):
        StepTable(tmp_path / "log.csv").cut_after(1)


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (None, "log.csv is gone; it goes on from step 4"),
        ("step,loss\n1,0.5\n", "2 of the 3 rows up to the checkpoint are gone"),
    ],
)
def test_rows_of_the_log_that_are_gone_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, left: str | None, said: str
) -> None:
    if left is not None:
        (tmp_path / "log.csv").write_text(left)
    log = RunLog(tmp_path / "log.csv", must_be_finite=["loss"])
    log.table.cut_after(3)
    assert said in caplog.text
    caplog.clear()
    StepTable(tmp_path / "timing.csv").cut_after(3)  # has no row for every step
    assert not caplog.text


def test_a_full_disk_at_the_log_names_it(tmp_path: Path) -> None:
    table = StepTable(tmp_path / "log.csv")
    with full_beyond(10), pytest.raises(OSError, match=r"log\.csv"):
        table.append([{"step": step, "loss": 0.5} for step in range(1, 9)])
