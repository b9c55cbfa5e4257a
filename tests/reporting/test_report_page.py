import csv
import html.parser
import json
import logging

import numpy as np
import pytest

from mixcl_auto.errors import PlanError
from mixcl_auto.io.images import write_image, write_labels
from mixcl_auto.io.scores import read_scores, write_scores
from mixcl_auto.records.case import Geometry
from mixcl_auto.records.plan import Plan
from mixcl_auto.reporting.report import write_report

TABLES = ("table1", "table2", "arms", "differences", "organ_differences", "per_organ")
VOID = {"meta", "img", "link", "br", "hr", "input"}
SHAPE = (30, 24, 12)
GEOMETRY = Geometry(
    size=SHAPE,
    spacing_mm=(4.0, 4.0, 3.0),
    origin_mm=(0.0, 0.0, 0.0),
    direction=(1, 0, 0, 0, 1, 0, 0, 0, 1),
    orientation="LPS",
)


class Reader(html.parser.HTMLParser):
    """Checks that tags nest, and collects text, links, ids and pictures."""

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.ids, self.sources, self.words = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.links += [attributes["href"]] if "href" in attributes else []
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.sources += [attributes["src"]] if "src" in attributes else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def report(lab):
    folder = write_report(lab.workspace, lab.plan, "plan")
    return folder, Reader(folder.page.read_text(encoding="utf-8"))


def add_scans(lab):
    """Raw data of cases 'a' and 'b' with a liver and a spleen."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[5:15, 5:15, 3:9] = 1
    labels[20:26, 8:14, 5:8] = 2
    raw = lab.workspace.raw_data / "Target_1"
    raw.mkdir(parents=True)
    (raw / "dataset.json").write_text(json.dumps({"labels": {"liver": 1, "spleen": 2}}))
    for case in ("a", "b"):
        write_image(
            raw / "imagesTr" / f"{case}_0000.nii.gz", labels.astype(np.int16) * 60, (4.0, 4.0, 3.0), GEOMETRY
        )
        write_labels(raw / "labelsTr" / f"{case}.nii.gz", labels, GEOMETRY)
    return labels


def test_the_page_of_an_unfinished_grid_says_what_is_missing_first(unfinished_lab):
    folder, page = report(unfinished_lab)
    assert "6 of 12 expected runs are missing." in page.text
    assert page.text.index("6 of 12 expected") < page.text.index("Table 1")
    for words in (
        "trained, not scored",
        "0.6000 (3/3)",
        "+0.0700 (2)",
        "No ablation was run",
        "one case is short",
    ):
        assert words in page.text
    assert "No run of this target kept its predictions here." in page.text
    assert sorted(path.name for path in folder.path.glob("*.*")) == sorted(
        ["index.html", "all_scores.csv", "findings.md"]
        + [f"{table}.{suffix}" for table in TABLES for suffix in ("md", "csv", "tex")]
    )


def test_the_page_needs_no_other_file_and_its_links_lead_somewhere(unfinished_lab):
    unfinished_lab.pretrain(log=True)
    folder, page = report(unfinished_lab)
    assert len(page.sources) == 4  # findings, label efficiency, organs, pre-training
    assert all(source.startswith("data:image/") for source in page.sources)
    inner = {link[1:] for link in page.links if link.startswith("#")}
    assert inner == set(page.ids)
    for link in (link for link in page.links if not link.startswith(("#", "data:"))):
        assert (folder.path / link).is_file(), link


def test_texts_of_the_plan_are_escaped(unfinished_lab):
    folder, page = report(unfinished_lab)
    text = folder.page.read_text(encoding="utf-8")
    assert "&lt;b&gt;as printed&lt;/b&gt;" in text
    assert "<b>as printed</b>" not in text
    assert "<b>as printed</b>" in page.text


def test_commands_in_notes_are_set_as_code(unfinished_lab):
    folder, _ = report(unfinished_lab)
    assert "<code>mixcl_auto experiment --table 2</code>" in folder.page.read_text(encoding="utf-8")


def test_a_plan_without_any_run_has_a_report(make_lab):
    _, page = report(make_lab())
    assert "12 of 12 expected runs are missing." in page.text
    assert "No run is finished yet." in page.text


def test_a_finished_grid_says_so(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0,))
    for init in ("scratch", "mixcl"):
        lab.finetune(init, 1.0, 0, 0.5, log=True)
    folder, page = report(lab)
    assert "All 2 runs of the plan's experiment are finished." in page.text
    assert "Runs that are not finished" not in page.text
    assert folder.figure("finetuning_Target_1.svg").is_file()


def test_a_page_with_the_baseline_and_a_control_shows_both(make_lab):
    inits = ("scratch", "supervised", "scratch-2", "mixcl")
    lab = make_lab(fractions=(1.0,), folds=(0,), inits=inits)
    labels = add_scans(lab)
    for init in inits:
        method = "supervised" if init == "supervised" else "mixcl"
        folder = lab.finetune(init, 1.0, 0, 0.5, method=method, log=True)
        for case in ("a", "b"):
            write_labels(folder.prediction(case), labels, GEOMETRY)
    lab.pretrain("mixcl", log=True)
    pretrained = lab.pretrain("supervised", method="supervised")
    rows = [f"{step},{1 / step + 0.3},{1 / step},0.3" for step in range(1, 20)]
    pretrained.log.write_text("\n".join(["step,loss,dice_loss,cross_entropy", *rows]) + "\n")
    folder, page = report(lab)
    for words in ("Ours - Supervised", "scratch-2", "supervised Dice, cross-entropy finished 1000"):
        assert words in page.text
    assert folder.figure("pretraining_supervised.svg").is_file()
    drawn = folder.figure("label_efficiency_Target_1.svg").read_text()
    assert all(f"<!-- {init} -->" in drawn for init in inits)


def test_all_scores_are_in_one_table(unfinished_lab):
    folder, _ = report(unfinished_lab)
    with folder.scores.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * 2 * 2
    first = rows[0]
    assert (first["dataset"], first["init"], first["fraction"], first["fold"], first["seed"]) == (
        *("Target_1", "mixcl", "0.05", "0"),
        "0",
    )
    assert {float(row["dice"]) for row in rows if row["init"] == "mixcl"} == {0.56, 0.48}


def test_held_out_cases_are_drawn_where_scans_and_predictions_are(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0,))
    labels = add_scans(lab)
    for init, dice in (("scratch", {"a": 0.9, "b": 0.4}), ("mixcl", {"a": 0.7, "b": 0.8})):
        cases = {case: dict.fromkeys(("liver", "spleen"), value) for case, value in dice.items()}
        folder = lab.finetune(init, 1.0, 0, cases)
        for case in cases:
            write_labels(folder.prediction(case), np.roll(labels, 1, axis=0), GEOMETRY)
    folder, page = report(lab)
    pictures = sorted(path.name for path in folder.figures.glob("case_*"))
    assert pictures == ["case_Target_1_0.png", "case_Target_1_1.png"]
    assert "case a (lowest difference of Dice): 100% of the labels, fold 0, seed 0" in page.text
    assert "case b (highest difference of Dice)" in page.text


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda raw: (raw / "dataset.json").unlink(), "The raw data are not here"),
        (lambda raw: (raw / "labelsTr" / "a.nii.gz").write_bytes(b"x"), "Case a could not be drawn"),
        (
            lambda raw: write_labels(
                raw / "labelsTr" / "a.nii.gz",
                np.zeros((3, 3, 3), np.uint8),
                GEOMETRY.model_copy(update={"size": (3, 3, 3)}),
            ),
            "Case a could not be drawn: its label maps are not on the scan's grid",
        ),
    ],
)
def test_what_can_not_be_drawn_is_said(make_lab, damage, sentence):
    lab = make_lab(fractions=(1.0,), folds=(0,), inits=("scratch",))
    labels = add_scans(lab)
    folder = lab.finetune("scratch", 1.0, 0, 0.5)
    for case in ("a", "b"):
        write_labels(folder.prediction(case), labels, GEOMETRY)
    damage(lab.workspace.raw_data / "Target_1")
    _, page = report(lab)
    assert sentence in page.text


def test_a_second_report_is_the_same_to_the_byte(unfinished_lab):
    unfinished_lab.pretrain(log=True)
    folder, _ = report(unfinished_lab)
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    report(unfinished_lab)
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before


def test_writing_the_report_warns_of_nothing(unfinished_lab, caplog, recwarn):
    unfinished_lab.pretrain(log=True)
    with caplog.at_level(logging.WARNING):
        report(unfinished_lab)
    assert caplog.records == []
    assert [str(warning.message) for warning in recwarn.list if "mixcl" in str(warning.filename)] == []


def test_the_findings_come_before_the_tables_and_are_a_file_too(unfinished_lab):
    folder, page = report(unfinished_lab)
    sentence = "Target_1, 5 % of the labels: mixcl is 0.070 Dice above scratch (95 % interval"
    assert page.text.index(sentence) < page.text.index("Table 1")
    said = folder.findings.read_text(encoding="utf-8")
    assert sentence in said
    assert said.startswith("6 of 12 expected runs are missing: see the page\n\n**Does pre-training help?")


def test_dollar_signs_in_an_organs_name_are_no_formula(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0,))
    odd = "$\\frac{$ & <x>"
    for init in ("scratch", "mixcl"):
        folder = lab.finetune(init, 1.0, 0, 0.5)
        scores = read_scores(folder.scores)
        write_scores(
            folder.scores,
            [s.model_copy(update={"organ": odd}) if s.organ == "liver" else s for s in scores],
        )
    folder, page = report(lab)
    assert odd in page.text
    assert folder.figure("organs_Target_1.svg").is_file()


def test_an_initialisation_that_begins_with_an_underscore_has_its_place_in_the_legend(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0,), inits=("scratch", "_mine"))
    for init in ("scratch", "_mine"):
        lab.finetune(init, 1.0, 0, 0.5)
    folder, _ = report(lab)
    assert "<!--  _mine -->" in folder.figure("label_efficiency_Target_1.svg").read_text()


def test_figures_of_an_earlier_report_do_not_stay(unfinished_lab):
    folder, _ = report(unfinished_lab)
    assert folder.figure("findings_Target_1.svg").is_file()
    folder.figure("mine.svg").write_text("<svg/>")
    for run in unfinished_lab.workspace.finetune_runs("plan"):
        if "mixcl" in run.path.parts:
            run.scores.unlink(missing_ok=True)
    report(unfinished_lab)
    assert not folder.figure("findings_Target_1.svg").exists()
    assert folder.figure("label_efficiency_Target_1.svg").is_file()
    assert folder.figure("mine.svg").is_file()


def test_without_two_arms_nothing_is_found(make_lab):
    lab = make_lab()
    lab.finetune("scratch", 1.0, 0, 0.5)
    folder, page = report(lab)
    assert "No two arms have a run of one fold and seed yet." in page.text
    assert "No two arms have a run of one fold and seed yet." in folder.findings.read_text(encoding="utf-8")


def test_names_can_not_break_out_of_the_viewers_data(make_lab):
    lab = make_lab(fractions=(1.0,), folds=(0,), inits=("scratch", "mixcl"))
    labels = add_scans(lab)
    for init in ("scratch", "mixcl"):
        folder = lab.finetune(init, 1.0, 0, 0.5)
        for case in ("a", "b"):
            write_labels(folder.prediction(case), labels, GEOMETRY)
    grid_labels = {"</script><script>alert(1)</script>": 1, "spleen": 2}
    for folder in lab.workspace.finetune_runs("plan"):
        record = json.loads(folder.run.read_text())
        for dataset in record["plan"]["datasets"]:
            if dataset["name"] == "Target_1":
                dataset["labels"] = grid_labels
        folder.run.write_text(json.dumps(record))
    lab.plan = Plan.from_json(json.dumps(record["plan"]), source="", error=PlanError)
    folder, _ = report(lab)
    text = folder.page.read_text(encoding="utf-8")
    assert "alert(1)" in text
    assert "<script>alert(1)" not in text
