from dataclasses import replace

from mixcl_auto.io.workspace import ReportFolder
from mixcl_auto.metrics.averaging import Interval, Spread
from mixcl_auto.reporting.table_formats import (
    Table,
    figure_text,
    interval_text,
    p_text,
    percent_text,
    signed_text,
    spread_text,
    write_table,
)

TABLE = Table(
    name="table9",
    title="Dice of 5% & more",
    note="A_note",
    columns=("Target", "Pct.", "Dice"),
    rows=(("HN|Organs_1", "5%", "0.5000 (1/2)"), ("a\\b", "100%", "missing")),
    data=({"target": "HN|Organs_1", "dice": 0.1 + 0.2}, {"target": "a\\b", "dice": None}),
)


def test_markdown_keeps_figures_as_text_and_escapes_pipes():
    lines = TABLE.to_markdown().splitlines()
    assert lines[0] == "**Dice of 5% & more**"
    assert lines[2] == "| Target       | Pct.   |         Dice |"
    assert lines[4] == "| HN\\|Organs_1 | 5%     | 0.5000 (1/2) |"
    assert lines[-1] == "A_note"


def test_csv_is_unrounded():
    assert TABLE.to_csv() == "target,dice\nHN|Organs_1,0.30000000000000004\na\\b,\n"


def test_all_three_forms_are_written(tmp_path):
    paths = write_table(ReportFolder(tmp_path), TABLE)
    assert [path.name for path in paths] == ["table9.md", "table9.csv", "table9.tex"]
    assert paths[0].read_text(encoding="utf-8") == TABLE.to_markdown()


def test_texts_of_numbers():
    assert [signed_text(value) for value in (0.01834, -0.5, -0.00001, 0.0, None)] == [
        "+0.0183",
        "-0.5000",
        "+0.0000",
        "+0.0000",
        "missing",
    ]
    assert (figure_text(0.50654), figure_text(None), figure_text(12.34, 1)) == ("0.5065", "missing", "12.3")
    assert [percent_text(value) for value in (0.05, 0.15, 1.0, 0.075)] == ["5%", "15%", "100%", "7.5%"]


def test_texts_of_spreads_intervals_and_p():
    assert spread_text(Spread(3, 0.51234, 0.01)) == "0.5123 ± 0.0100"
    assert spread_text(Spread(1, 12.34, None), 1) == "12.3"
    assert spread_text(None) == "missing"
    assert interval_text(Interval(0.1, -0.05, 0.25), 2) == "-0.05 to +0.25"
    assert interval_text(None) == "-"
    assert [p_text(p) for p in (1.0, 0.0314, 0.001, 0.0009, None)] == [
        *("1.000", "0.031", "0.001", "<0.001", "-"),
    ]


def test_names_in_markdown_are_no_markup_and_figures_stay():
    table = replace(
        TABLE,
        columns=("Target", "Pct.", "Ours: *a*"),
        rows=(("`x` <b>*y* HN_Organs_1", "5%", "<0.001"), (r"a\*b", "5%", "1")),
    )
    text = table.to_markdown()
    assert r"| \`x\` \<b>\*y\* HN_Organs_1 |" in text
    assert r"Ours: \*a\* |" in text
    assert "| <0.001" in " ".join(text.split())
    assert r"| a\\\*b" in text
