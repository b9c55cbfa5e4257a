from pathlib import Path

import numpy as np
import pytest

from mixcl_auto.training.curves import Panel, draw_curves, read_columns, running_mean


def test_running_mean_worked_by_hand() -> None:
    values = np.array([1.0, 3.0, 5.0, 11.0])
    assert running_mean(values, share=0.5).tolist() == [1.0, 2.0, 4.0, 8.0]
    assert running_mean(values, share=0.01).tolist() == values.tolist()


def test_empty_cells_are_read_as_nan(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,loss,share\n1,0.5,\n2,0.25,0.75\n")
    columns = read_columns(tmp_path / "log.csv")
    assert columns["step"].tolist() == [1, 2]
    np.testing.assert_array_equal(columns["share"], [np.nan, 0.75])


def test_picture_has_a_panel_for_each_known_column_group(tmp_path: Path) -> None:
    log, image = tmp_path / "log.csv", tmp_path / "progress.png"
    log.write_text("step,loss,share,off\n" + "".join(f"{n},{1 / n},{n},\n" for n in range(1, 9)))
    heights = []
    for panels in (
        [Panel("one", ("loss",))],
        [Panel("one", ("loss",)), Panel("two", ("share", "unknown")), Panel("none", ("off",))],
    ):
        draw_curves(log, image, panels)
        header = image.read_bytes()[:24]
        assert header.startswith(b"\x89PNG")
        heights.append(int.from_bytes(header[20:24], "big"))
    assert heights[1] == pytest.approx(2 * heights[0], abs=2)


def test_log_without_values_leaves_no_picture(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,loss\n")
    draw_curves(tmp_path / "log.csv", tmp_path / "progress.png", [Panel("one", ("loss",))])
    assert not (tmp_path / "progress.png").exists()
