import csv
import io

import pytest

from mixcl_auto.io.files import write_text
from mixcl_auto.records.plan import DatasetPlan
from mixcl_auto.reporting.grid import collect_grid
from mixcl_auto.reporting.paper_values import (
    ALL_TERMS,
    PAPER_TABLE_1,
    PAPER_TABLE_2,
    paper_ablation,
    paper_name,
    paper_row,
)
from mixcl_auto.reporting.tables import table_1, table_2
from mixcl_auto.workflows.report import report

SPLEEN, BTCV, OTHER = "Dataset009_Spleen", "BTCV", "HN_Organs"


def name_targets(lab, *targets):
    """Give the plan targets of these names instead of its own."""
    datasets = [
        DatasetPlan(name=name, role="target", labels={"o": 1}, cases=("a", "b"), fingerprint="0", split="0")
        for name in targets
    ]
    lab.plan = lab.plan.model_copy(update={"datasets": (*lab.plan.datasets[:1], *datasets)})


def grid_of(lab, *targets):
    """What was run, on targets of these names."""
    name_targets(lab, *targets)
    return collect_grid(lab.workspace, lab.plan, "plan")


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("Spleen", "Spleen"),
        ("spleen", "Spleen"),
        ("Task09_Spleen", "Spleen"),
        ("Dataset009_Spleen", "Spleen"),
        ("BTCV", "BTCV"),
        ("Dataset101_BTCV", "BTCV"),
        ("BTCV_abdomen", "BTCV"),
        ("Spleen_private", None),
        ("My_Spleen", None),
        ("Task09_Spleen_2", None),
        ("BTCVX", None),
        ("NOT_BTCV", None),
        ("HN_Organs", None),
        ("", None),
    ],
)
def test_only_the_papers_datasets_have_published_values(dataset, name):
    assert paper_name(dataset) == name
    assert (paper_row(dataset, 1.0) is not None) == (name is not None)


def test_published_values_are_those_of_the_paper():
    rows = {key: (row.scratch, row.mixcl, row.difference) for key, row in PAPER_TABLE_1.items()}
    assert rows == {
        ("Spleen", 0.05): (0.5065, 0.5593, 0.0528),
        ("Spleen", 0.15): (0.8247, 0.8430, 0.0183),
        ("Spleen", 0.5): (0.9424, 0.9453, 0.0019),
        ("Spleen", 1.0): (0.9597, 0.9612, 0.0015),
        ("BTCV", 0.15): (0.2459, 0.3871, 0.1412),
        ("BTCV", 0.5): (0.5851, 0.5939, 0.0085),
        ("BTCV", 1.0): (0.7524, 0.7656, 0.0132),
    }
    ablation = {(name, share, len(terms)): dice for (name, share, terms), dice in PAPER_TABLE_2.items()}
    assert ablation == {
        ("Spleen", 0.3, 0): 0.8975,
        ("Spleen", 0.3, 2): 0.9150,
        ("Spleen", 0.3, 3): 0.9178,
        ("BTCV", 1.0, 0): 0.7524,
        ("BTCV", 1.0, 2): 0.7618,
        ("BTCV", 1.0, 3): 0.7656,
    }


def test_published_differences_are_those_of_the_published_dice_but_for_two_misprints():
    wrong = {
        key for key, row in PAPER_TABLE_1.items() if abs(row.mixcl - row.scratch - row.difference) > 0.5e-4
    }
    assert wrong == {("Spleen", 0.5), ("BTCV", 0.5)}
    # both tables of the paper say the same of BTCV with all labels
    assert paper_ablation("BTCV", 1.0, frozenset()) == paper_row("BTCV", 1.0).scratch
    assert paper_ablation("BTCV", 1.0, ALL_TERMS) == paper_row("BTCV", 1.0).mixcl
    assert paper_ablation("BTCV", 1.0, frozenset({"identity"})) is None
    assert paper_ablation("BTCV", 0.3, ALL_TERMS) is None


def test_published_columns_stand_beside_ours_for_the_papers_targets_alone(make_lab):
    lab = make_lab(fractions=(0.05, 0.3, 0.5))
    name_targets(lab, SPLEEN, OTHER)
    lab.finetune("scratch", 0.05, 0, 0.4, dataset=SPLEEN)
    table = table_1(grid_of(lab, SPLEEN, OTHER), with_paper=True)
    assert table.columns[5:] == ("Published T.F.S.", "Published Ours", "Published Diff.")
    assert table.rows[0][2:] == (
        *("0.4000 (1/3)", "missing", "missing"),
        *("0.5065", "0.5593", "+0.0528"),
    )
    assert [row[5:] for row in table.rows] == [
        ("0.5065", "0.5593", "+0.0528"),
        ("-", "-", "-"),
        ("0.9424", "0.9453", "+0.0019"),
        *(3 * [("-", "-", "-")]),
    ]
    assert "not comparable to the digit" in table.note
    assert "0.9453 - 0.9424 is 0.0029, not 0.0019" in table.note
    assert "0.5939" not in table.note
    first, second = list(csv.DictReader(io.StringIO(table.to_csv())))[:2]
    assert (first["published_scratch_dice"], first["published_mixcl_dice"]) == ("0.5065", "0.5593")
    assert second["published_difference"] == ""


def test_without_the_option_nothing_published_is_shown(make_lab):
    grid = grid_of(make_lab(), SPLEEN)
    for table in (table_1(grid), table_2(grid)):
        assert "ublished" not in f"{table.columns} {table.note} {table.to_csv()}"


def test_table_2_has_the_papers_dice_where_the_same_terms_were_on(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0,))
    name_targets(lab, BTCV)
    lab.finetune("scratch", 1.0, 0, 0.5, dataset=BTCV)
    lab.finetune("mixcl", 1.0, 0, 0.7, dataset=BTCV)
    lab.finetune("no_recon", 1.0, 0, 0.6, dataset=BTCV, without=("reconstruction",))
    lab.finetune("no_label", 1.0, 0, 0.6, dataset=BTCV, without=("label",))
    table = table_2(grid_of(lab, BTCV), with_paper=True)
    assert table.columns[-1] == "Published Dice"
    assert [(row[5], row[-1]) for row in table.rows] == [
        ("scratch", "0.7524"),
        ("no_label", "-"),
        ("no_recon", "0.7618"),
        ("mixcl", "0.7656"),
    ]


def test_where_nothing_published_applies_the_note_says_so(make_lab):
    lab = make_lab(fractions=(0.1,), ablation_fractions=(0.1,))
    other, spleen = grid_of(lab, OTHER), grid_of(lab, SPLEEN)
    for build in (table_1, table_2):
        table = build(other, with_paper=True)
        assert table.columns == build(other).columns
        assert table.note.endswith("No published value applies: the paper has MSD Spleen and BTCV alone.")
        assert build(spleen, with_paper=True).note.endswith("alone, and none at these shares of labels.")


def test_the_report_writes_the_papers_values_on_request(make_lab):
    lab = make_lab(fractions=(0.05,))
    name_targets(lab, SPLEEN, OTHER)
    lab.finetune("scratch", 0.05, 0, 0.4, dataset=SPLEEN)
    grid_of(lab, SPLEEN)
    write_text(lab.workspace.plans / "plan.json", lab.plan.to_json())
    for with_paper in (False, True):
        folder = report(lab.workspace.root, with_paper=with_paper)
        for suffix in ("md", "csv", "tex"):
            text = folder.table("table1", suffix).read_text(encoding="utf-8")
            assert ("0.5593" in text) == with_paper
