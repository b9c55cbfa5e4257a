"""Dice over the steps of the same runs: by hand, from runs with scores at steps 4 and 7 of 10."""

import csv
import io

import pytest

from mixcl_auto.io.scores import write_scores
from mixcl_auto.reporting.arms import difference
from mixcl_auto.reporting.budget import budget_table, collect_budget
from mixcl_auto.reporting.budget_figure import draw_budget
from mixcl_auto.reporting.grid import collect_grid

STEPS = (4, 7)


def budget_of(lab):
    return collect_budget(collect_grid(lab.workspace, lab.plan, "plan"))


@pytest.fixture
def put_run(report_lab):
    """Write a run of 10 steps with its Dice after steps 4, 7 and 10; a missing one is None."""

    def put(lab, init, fraction, fold, dice, **options):
        folder = lab.finetune(init, fraction, fold, dice[-1], **options)
        for step, value in zip(STEPS, dice, strict=False):
            if value is not None:
                scores = [
                    s for c in ("a", "b") for s in report_lab.scores(c, {"liver": value, "spleen": value})
                ]
                write_scores(folder.scores_at(step), scores)
        return folder

    return put


@pytest.fixture
def scored_lab(make_lab, put_run):
    """At 5 % three folds of both arms, the third without scores at step 7; at 100 % the ends alone."""
    lab = make_lab(inits=("scratch", "mixcl"))
    for fold, dice in enumerate([(0.1, 0.3, 0.5), (0.2, 0.4, 0.6), (0.3, None, 0.7)]):
        put_run(lab, "scratch", 0.05, fold, dice)
    for fold, dice in enumerate([(0.3, 0.4, 0.5), (0.5, 0.5, 0.6), (0.3, None, 0.7)]):
        put_run(lab, "mixcl", 0.05, fold, dice)
    lab.finetune("scratch", 1.0, 0, 0.8)
    lab.finetune("mixcl", 1.0, 0, 0.9)
    return lab


def test_each_step_has_the_mean_of_its_runs_and_the_paired_difference_to_scratch(scored_lab):
    table = budget_table(budget_of(scored_lab))
    assert table is not None
    assert table.columns[:4] == ("Target", "Pct.", "Step", "Init")
    assert [row[1:6] for row in table.rows] == [
        ("5%", "4", "scratch", "0.2000 (3/3)", "-"),
        ("5%", "4", "mixcl", "0.3667 (3/3)", "+0.1667"),
        ("5%", "7", "scratch", "0.3500 (2/3)", "-"),
        ("5%", "7", "mixcl", "0.4500 (2/3)", "+0.1000"),
        ("5%", "10", "scratch", "0.6000 (3/3)", "-"),
        ("5%", "10", "mixcl", "0.6000 (3/3)", "+0.0000"),
    ]
    # t(2) = 4.302653; differences 0.2, 0.3, 0: deviation 0.152753, half-width 0.379459
    assert table.rows[1][6:] == ("-0.2128 to +0.5461", "3/3")
    assert table.rows[3][7] == "2/3"


def test_data_are_those_of_the_findings_unrounded(scored_lab):
    budget = budget_of(scored_lab)
    rows = list(csv.DictReader(io.StringIO(budget_table(budget).to_csv())))
    end = difference(budget.grid, "Target_1", "mixcl", 0.05)
    assert rows[-1]["step"] == "10"
    assert float(rows[-1]["difference_low"]) == end.interval.low
    assert float(rows[-1]["dice_standard_deviation"]) == pytest.approx(0.1)
    assert (rows[0]["difference"], rows[0]["difference_pairs"]) == ("", "0")


def test_folds_with_several_seeds_have_the_interval_over_their_means(make_lab, put_run):
    lab = make_lab(seeds=(0, 1))
    for fold in (0, 1):
        for seed in (0, 1):
            put_run(lab, "scratch", 1.0, fold, (0.1, 0.2, 0.3), seed=seed)
            put_run(lab, "mixcl", 1.0, fold, (0.2 + 0.1 * fold, 0.2, 0.3), seed=seed)
    row = budget_table(budget_of(lab)).data[1]
    assert (row["step"], row["init"]) == (4, "mixcl")
    # fold means 0.1 and 0.2: 0.15 +- 12.7062 x 0.0707107 / sqrt(2)
    ends = (row["difference_low"], row["difference_high"])
    assert ends == pytest.approx((0.15 - 0.635310, 0.15 + 0.635310), abs=1e-5)


def test_without_steps_on_the_way_there_is_neither_table_nor_figure(unfinished_lab, tmp_path):
    budget = budget_of(unfinished_lab)
    assert budget_table(budget) is None
    assert budget.steps("Target_1", 0.05) == ()
    assert draw_budget(budget, "Target_1", tmp_path / "budget.svg") is None
    assert not (tmp_path / "budget.svg").exists()


def test_runs_that_are_not_finished_do_not_count(scored_lab, put_run):
    folder = put_run(scored_lab, "scratch-2", 0.05, 0, (0.1, 0.2, 0.3))
    folder.scores.unlink()
    assert all("scratch-2" not in row for row in budget_table(budget_of(scored_lab)).rows)


def test_tables_that_cannot_be_used_are_listed_and_left_out(scored_lab, report_lab):
    folder = scored_lab.workspace.finetune("plan", "Target_1", "scratch", 0.05, 0, 0)
    folder.scores_at(4).write_text("nonsense\n")
    write_scores(folder.scores_at(7), report_lab.scores("a", {"liver": 0.5}))
    write_scores(folder.scores_at(12), [s for c in ("a", "b") for s in report_lab.scores(c, {"liver": 0.5})])
    budget = budget_of(scored_lab)
    damaged, lacking, beyond = budget.problems
    assert "scores_at_4.csv: the columns must be case" in damaged
    assert damaged.endswith("remove the file, or fine-tune again in an empty folder to have it")
    assert "scores_at_7.csv: no scores of b; remove the file" in lacking
    assert "scores_at_12.csv: the run ended after step 10; remove the file" in beyond
    counts = {row[2]: row[4] for row in budget_table(budget).rows if row[3] == "scratch"}
    assert counts == {"4": "0.2500 (2/3)", "7": "0.4000 (1/3)", "10": "0.6000 (3/3)"}


def test_the_figure_has_a_panel_per_share_of_labels_and_a_point_per_run(scored_lab, tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(
        "mixcl_auto.reporting.budget_figure.save_figure", lambda figure, path: figures.append(figure) or path
    )
    draw_budget(budget_of(scored_lab), "Target_1", tmp_path / "budget.svg")
    (panel,) = figures[0].axes
    assert panel.get_title(loc="left") == "5% of the labels"
    assert list(panel.get_xticks()) == [4, 7, 10]
    means = {line.get_label(): line for line in panel.lines if not line.get_label().startswith("_")}
    assert means.keys() == {"scratch", "mixcl"}
    assert means["mixcl"].get_ydata() == pytest.approx([1.1 / 3, 0.45, 0.6])
    # The arms stand beside one another, by 0.12 of the least distance between steps.
    assert means["scratch"].get_xdata() == pytest.approx([3.64, 6.64, 9.64])
    assert sum(len(points.get_offsets()) for points in panel.collections) == 16
    assert panel.get_ylim() == pytest.approx((0.07, 0.73))


def test_the_figure_is_written(scored_lab, put_run, tmp_path):
    put_run(scored_lab, "mixcl", 1.0, 1, (0.2, 0.3, 0.9))
    path = draw_budget(budget_of(scored_lab), "Target_1", tmp_path / "budget.svg")
    assert path is not None
    assert path.read_text().count("of the labels") >= 2
