from pathlib import Path

import numpy as np
import pytest

from mixcl_auto.training.curves import Panel, draw_curves, paired, read_columns, running_mean, short_labels


def test_running_mean_worked_by_hand() -> None:
    values = np.array([1.0, 3.0, 5.0, 11.0])
    assert running_mean(values, share=0.5).tolist() == [1.0, 2.0, 4.0, 8.0]
    assert running_mean(values, share=0.01).tolist() == values.tolist()


def test_empty_cells_are_read_as_nan(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,loss,share\n1,0.5,\n2,0.25,0.75\n")
    columns = read_columns(tmp_path / "log.csv")
    assert columns["step"].tolist() == [1, 2]
    np.testing.assert_array_equal(columns["share"], [np.nan, 0.75])


def test_columns_that_compare_have_values_at_the_same_steps() -> None:
    """A step at which no sample has a pair for Eq. 6 has a label loss of 0 and no chance."""
    log = {"label": np.array([3.0, 0.0, 2.0]), "label_chance": np.array([3.0, np.nan, 3.0])}
    found = paired(log)
    np.testing.assert_array_equal(found["label"], [3.0, np.nan, 2.0])
    np.testing.assert_array_equal(found["label_chance"], log["label_chance"])


def write_log(folder: Path, steps: int = 8) -> Path:
    log = folder / "log.csv"
    rows = (f"{n},{1 / n},{n},,{0.1 * n}\n" for n in range(1, steps + 1))
    log.write_text("step,loss,share,off,gradient_norm\n" + "".join(rows))
    return log


def height(image: Path) -> int:
    header = image.read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    return int.from_bytes(header[20:24], "big")


def test_picture_has_a_panel_for_each_known_column_group_two_in_a_row(tmp_path: Path) -> None:
    log, image = write_log(tmp_path), tmp_path / "progress.png"
    one, two = Panel("one", ("loss",)), Panel("two", ("share", "unknown"))
    heights = []
    for panels in ([one], [one, two], [one, two, Panel("none", ("off",))], [one, two, one]):
        draw_curves(log, image, panels)
        heights.append(height(image))
    # The norm of the gradient, which every run logs, is one more.
    assert heights[0] < heights[1] == heights[2] == heights[3]


def test_time_per_step_is_drawn_beside_the_log(tmp_path: Path) -> None:
    log, image, timing = write_log(tmp_path), tmp_path / "progress.png", tmp_path / "timing.csv"
    draw_curves(log, image, [Panel("one", ("loss",))], timing=timing)
    without = height(image)
    timing.write_text("step,seconds,samples_per_second,waiting_share,peak_memory_mb\n8,0.5,4,0.25,100\n")
    draw_curves(log, image, [Panel("one", ("loss",))], timing=timing, title="a run")
    assert height(image) > without


def test_values_without_a_logarithm_are_drawn_too(tmp_path: Path) -> None:
    log, image = tmp_path / "log.csv", tmp_path / "progress.png"
    log.write_text("step,loss\n1,0\n2,0.5\n")
    draw_curves(log, image, [Panel("one", ("loss",), is_log=True, is_share=True)])
    assert height(image) > 0


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (("gradient_share_label", "gradient_share_identity"), ["label", "identity"]),
        (("label", "label_chance"), ["label", "label chance"]),
        (("dice_loss", "cross_entropy"), ["dice loss", "cross entropy"]),
        (("learning_rate",), ["learning rate"]),
        (("a_b", "a_b"), ["b", "b"]),
    ],
)
def test_labels_leave_out_what_they_share(names: tuple[str, ...], labels: list[str]) -> None:
    assert short_labels(names) == labels


def test_log_without_values_leaves_no_picture(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,loss\n")
    draw_curves(tmp_path / "log.csv", tmp_path / "progress.png", [Panel("one", ("loss",))])
    assert not (tmp_path / "progress.png").exists()
