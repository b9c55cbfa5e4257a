import numpy as np

from mixcl_auto.reporting.curves import draw_finetuning, draw_label_efficiency, draw_pretraining, thinned
from mixcl_auto.reporting.grid import collect_grid


def test_a_long_curve_is_thinned_to_its_ends_and_400_points():
    steps = np.arange(1.0, 5001)
    kept, values = thinned(steps, steps**2)
    assert len(kept) == 400
    assert (kept[0], kept[-1]) == (1, 5000)
    np.testing.assert_array_equal(values, kept**2)
    short, _ = thinned(steps[:7], steps[:7])
    assert len(short) == 7


def test_figures_are_drawn_from_what_is_there_and_else_not_at_all(unfinished_lab, tmp_path):
    grid = collect_grid(unfinished_lab.workspace, unfinished_lab.plan, "plan")
    out = tmp_path / "out"
    assert draw_label_efficiency(grid, "Target_1", out / "a.svg") == out / "a.svg"
    text = (out / "a.svg").read_text()
    assert text.startswith("<?xml")
    assert "<dc:date>" not in text
    assert draw_label_efficiency(grid, "Nobody", out / "b.svg") is None
    assert draw_finetuning(grid, "Target_1", out / "c.svg") is None
    assert draw_pretraining(tmp_path / "no_log.csv", out / "d.svg") is None
    assert [path.name for path in out.iterdir()] == ["a.svg"]


def test_terms_without_values_are_left_out_of_the_curves(make_lab, tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("step,identity,label,label_chance,reconstruction\n1,,,,0.5\n2,,,,0.4\n")
    assert draw_pretraining(log, tmp_path / "one.svg") is not None
    log.write_text("step,identity,label\n1,,\n2,,\n")
    assert draw_pretraining(log, tmp_path / "none.svg") is None
