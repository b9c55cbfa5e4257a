import numpy as np
import pytest

from mixcl_auto.reporting import difference_figures
from mixcl_auto.reporting.difference_figures import draw_findings, draw_organ_differences
from mixcl_auto.reporting.grid import collect_grid
from mixcl_auto.reporting.headline import headline
from mixcl_auto.reporting.label_efficiency import draw_label_efficiency
from mixcl_auto.reporting.training_curves import draw_finetuning, draw_pretraining, thinned


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
    log.write_text("step,label,label_chance\n1,0,\n2,0,\n")  # no sample had a pair: nothing to compare
    assert draw_pretraining(log, tmp_path / "none.svg") is None
    log.write_text("step,identity,label\n1,,\n2,,\n")
    assert draw_pretraining(log, tmp_path / "none.svg") is None


def test_findings_and_organs_are_drawn_for_what_can_be_compared(unfinished_lab, tmp_path):
    grid = collect_grid(unfinished_lab.workspace, unfinished_lab.plan, "plan")
    verdicts = headline(grid)
    drawn = draw_findings(grid, verdicts, "Target_1", tmp_path / "findings.svg")
    assert drawn is not None
    text = drawn.read_text()
    assert "<!-- 5% of the labels -->" in text
    assert "<!-- mixcl - scratch -->" in text
    assert "<!-- 100% of the labels -->" not in text  # scratch alone was run there
    organs = draw_organ_differences(grid, "Target_1", tmp_path / "organs.svg")
    assert organs is not None
    assert all(f"<!-- {organ} -->" in organs.read_text() for organ in ("liver", "spleen"))
    assert draw_findings(grid, (), "Target_1", tmp_path / "none.svg") is None
    assert draw_organ_differences(grid, "Nobody", tmp_path / "none.svg") is None


def test_the_skip_rate_and_every_level_are_drawn(tmp_path):
    log = tmp_path / "log.csv"
    levels = ("identity_level_0", "identity_level_4", "label_skipped_level_1")
    names = ("total", "identity", *levels, "gradient_norm")
    rows = [",".join(str(value / step) for value in range(1, 7)) for step in (1, 2, 3)]
    lines = [f"{step},{row}" for step, row in enumerate(rows, start=1)]
    log.write_text("\n".join([",".join(("step", *names)), *lines]) + "\n")
    drawn = draw_pretraining(log, tmp_path / "curves.svg")
    assert drawn is not None
    for words in (
        "Samples skipped by the label term",
        "level 0",
        "level 4",
        "The whole loss (Eq. 2), log scale",
    ):
        assert f"<!-- {words} -->" in drawn.read_text()


def test_ranks_and_spreads_of_the_embeddings_are_drawn_by_level_where_they_were_measured(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text(
        "step,effective_rank_level_0,effective_rank_level_4,channel_spread_level_0\n"
        "1,0.5,0.1,0.9\n2,,,\n3,0.4,0.2,0.8\n"
    )
    drawn = draw_pretraining(log, tmp_path / "curves.svg")
    assert drawn is not None
    text = drawn.read_text()
    assert "<!-- Effective rank over channels, log scale -->" in text
    assert "<!-- Spread of the embeddings' channels -->" in text
    assert text.count("<!-- level 0 -->") == 2
    assert text.count("<!-- level 4 -->") == 1
    assert "<!-- 0.0 -->" in text  # the end of the spread's scale, far below its values


def test_every_organs_mark_stands_at_its_name_though_panels_have_other_arms(make_lab, tmp_path, monkeypatch):
    lab = make_lab(fractions=(0.05, 1.0), inits=("scratch", "scratch-2", "mixcl"))
    gains = {"liver": 0.05, "spleen": 0.3}
    for fold in range(3):
        for fraction, inits in ((0.05, ("mixcl",)), (1.0, ("scratch-2", "mixcl"))):
            lab.finetune("scratch", fraction, fold, 0.4)
            for init in inits:
                lab.finetune(
                    init, fraction, fold, {c: {o: 0.4 + gains[o] for o in gains} for c in ("a", "b")}
                )
    drawn = []
    monkeypatch.setattr(difference_figures, "save_figure", lambda figure, path: drawn.append(figure))
    draw_organ_differences(collect_grid(lab.workspace, lab.plan, "plan"), "Target_1", tmp_path / "organs.svg")
    left, right = drawn[0].axes
    names = {
        label.get_text(): place
        for label, place in zip(left.get_yticklabels(), left.get_yticks(), strict=True)
    }
    assert list(names) == list(gains)
    for panel, arms in ((left, 1), (right, 2)):
        marks = [line.get_xydata()[0] for line in panel.lines if line.get_marker() not in ("None", None)]
        assert len(marks) == arms * len(gains)
        for gain, place in marks:
            nearest = min(names, key=lambda name: abs(names[name] - place))
            assert gain == pytest.approx(gains[nearest])
