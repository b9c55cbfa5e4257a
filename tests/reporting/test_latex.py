import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mixcl_auto.records.plan import DatasetPlan
from mixcl_auto.reporting.detail_tables import arm_table, difference_table, organ_table
from mixcl_auto.reporting.grid import collect_grid
from mixcl_auto.reporting.latex_text import escape_latex
from mixcl_auto.reporting.organ_difference_table import organ_difference_table
from mixcl_auto.reporting.table_formats import Table
from mixcl_auto.reporting.tables import table_1, table_2

ODD = (
    "".join(map(chr, range(0x20, 0x7F)))
    + "\u00b1\u2212\u00d7\u2264\u2265\u2713\u2013\u2026 \u03b2\u4e2d\u0105\u00e9\u00fc\u0142"
)
PREAMBLE = "\\documentclass[a4paper]{article}\n\\usepackage{booktabs,amssymb,graphicx}\n\\begin{document}\n"


def table_of(rows, **options):
    columns = ("Target", "Pct.", "Dice")
    fields = {"name": "t", "title": "Table 9: Dice of 5% & more", "note": "A_note: `run --all`"} | options
    return Table(columns=columns, rows=tuple(rows), data=(), **fields)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("50%", r"50\%"),
        ("a_b & c#d $e {f}", r"a\_b \& c\#d \$e \{f\}"),
        ("~^", r"\textasciitilde{}\textasciicircum{}"),
        ("a\\b|c", r"a\textbackslash{}b\textbar{}c"),
        ("\u2713", r"\checkmark"),
        ("Pct.", "Pct."),
        ("-0.0554 (2)", "$-$0.0554 (2)"),
        ("-0.1 to -0.2", "$-$0.1 to $-$0.2"),
        ("Ours - Supervised", "Ours $-$ Supervised"),
        ("scratch-2", "scratch-2"),
        ("-", "-"),
        ("--set", "-{}-set"),
        ("0.5 \u00b1 0.1", r"0.5 $\pm$ 0.1"),
        ("l\u00ednea\nzwei", "l\u00ednea zwei"),
        ("\u4e2d\u0105", "U+4E2DU+0105"),
    ],
)
def test_latex_escapes(text, escaped):
    assert escape_latex(text) == escaped


def test_rows_of_one_target_and_share_stand_under_these():
    text = table_of([("A_1", "5%", "0.5"), ("A_1", "5%", "0.6"), ("A_1", "15%", "0.7")]).to_latex()
    body = text.split("\\midrule\n")[1].split("\n\\bottomrule")[0]
    assert body.splitlines() == [
        r"\multicolumn{1}{l}{\emph{A\_1, 5\%}} \\",
        r"0.5 \\",
        r"0.6 \\",
        r"\addlinespace",
        r"\multicolumn{1}{l}{\emph{A\_1, 15\%}} \\",
        r"0.7 \\",
    ]
    assert "\\begin{tabular}{r}\n\\toprule\nDice \\\\\n" in text


def test_a_row_per_share_keeps_its_names_and_targets_stand_apart():
    text = table_of([("A", "5%", "0.5"), ("A", "15%", "0.6"), ("B", "5%", "0.7")]).to_latex()
    assert "\\begin{tabular}{llr}\n\\toprule\nTarget & Pct. & Dice \\\\\n\\midrule\n" in text
    assert "A & 15\\% & 0.6 \\\\\n\\addlinespace\nB & 5\\% & 0.7 \\\\" in text


def test_caption_has_no_second_number_and_the_note_stands_below():
    text = table_of([("A", "5%", "0.5")]).to_latex()
    assert "\\caption{Dice of 5\\% \\& more.}\n\\label{tab:t}" in text
    assert text.index("\\end{tabular}") < text.index("A\\_note: \\texttt{run -{}-all}")


def test_many_rows_become_floats_of_one_number_broken_between_blocks():
    rows = [(f"T{t}", "5%", f"0.{i:03d}") for t in range(3) for i in range(14)]
    text = table_of(rows).to_latex()
    floats = text.split("\\begin{table}")[1:]
    assert [re.findall(r"emph\{(T\d)", part) for part in floats] == [["T0", "T1"], ["T2"]]
    assert ["\\addtocounter{table}{-1}" in part for part in floats] == [False, True]
    assert ["(continued)" in part for part in floats] == [False, True]
    assert text.count("A\\_note") == text.count("\\label") == 1
    long = table_of([("T", "5%", f"0.{i:03d}") for i in range(100)]).to_latex()
    assert long.count("\\begin{table}") == 3
    assert re.findall(r"^0\.(\d{3})", long, re.MULTILINE) == [f"{i:03d}" for i in range(100)]


def test_many_columns_become_panels_with_the_names_in_front_and_differences_with_their_arms():
    columns = (
        "Target",
        "Pct.",
        "T.F.S.",
        *(5 * ("An initialisation", "Diff.")),
        "Published A",
        "Published B",
    )
    rows = (("A", "5%", *(str(place) for place in range(13))), ("A", "15%", *(13 * ["0.5"])))
    text = Table("t", "Title", "", columns, rows, ()).to_latex()
    heads = re.findall(r"toprule\n(.*) \\\\\n", text)
    assert [head.split(" & ") for head in heads] == [
        ["Target", "Pct.", "T.F.S.", *(3 * ["An initialisation", "Diff."])],
        ["Target", "Pct.", *(2 * ["An initialisation", "Diff."]), "Published A", "Published B"],
    ]
    first_rows = re.findall(r"^A & 5.*", text, re.MULTILINE)
    assert first_rows == [
        r"A & 5\% & 0 & 1 & 2 & 3 & 4 & 5 & 6 \\",
        r"A & 5\% & 7 & 8 & 9 & 10 & 11 & 12 \\",
    ]
    assert text.count("\\caption") == 1


def test_a_row_that_begins_with_a_bracket_is_no_option_of_the_row_before():
    assert "\n{}[x] & 5\\% & 0.5 \\\\" in table_of([("[x]", "5%", "0.5")]).to_latex()


def compile_latex(folder: Path, body: str) -> str:
    """The log of pdflatex, which has to end well.

    Returns:
        What it said.
    """
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("pdflatex is not installed")
    (folder / "all.tex").write_text(f"{PREAMBLE}{body}\\end{{document}}\n", encoding="utf-8")
    command = [program, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "all.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said[-2000:]
    assert (folder / "all.pdf").stat().st_size > 0
    return said


def test_every_character_compiles(tmp_path):
    latin = "".join(chr(code) for code in range(0xA0, 0x180))
    rows = [(text, "5%", text) for text in (ODD, latin[:100], latin[100:], "*", "[0]")]
    said = compile_latex(tmp_path, table_of(rows, title=ODD, note=ODD.replace("`", "")).to_latex())
    assert "Missing character" not in said


def test_all_tables_of_a_grid_with_odd_names_compile_and_fit_the_line(make_lab, tmp_path):
    target = "Abdomen_50%&#1~{x}^$<|\u00b1\u4e2d"
    lab = make_lab(
        fractions=(0.05, 1.0),
        folds=(0, 1),
        inits=("scratch", "scratch-2", "supervised", "mixcl", "my_own~weights_50"),
    )
    datasets = [
        DatasetPlan(name=name, role="target", labels={"o": 1}, cases=("a", "b"), fingerprint="0", split="0")
        for name in (target, "Task09_Spleen")
    ]
    lab.plan = lab.plan.model_copy(update={"datasets": (*lab.plan.datasets[:1], *datasets)})
    arms = (*lab.plan.experiment.inits, "no_recon")
    for place, init in enumerate(arms):
        without = ("reconstruction",) if init == "no_recon" else ()
        method = "supervised" if init == "supervised" else "mixcl"
        for name, fraction in ((target, 0.05), (target, 1.0), ("Task09_Spleen", 1.0)):
            for fold in (0, 1):
                dice = 0.4 + 0.05 * place + 0.03 * fold
                options = {"dataset": name, "method": method, "without": without}
                lab.finetune(init, fraction, fold, dice, **options)
    grid = collect_grid(lab.workspace, lab.plan, "plan")
    tables = [
        *(table_1(grid, with_paper=True), table_2(grid, with_paper=True)),
        *(arm_table(grid), difference_table(grid), organ_table(grid), organ_difference_table(grid)),
    ]
    assert all(table.rows for table in tables)
    said = compile_latex(tmp_path, "\n".join(table.to_latex() for table in tables))
    assert "Overfull" not in said
    assert "too large for page" not in said
