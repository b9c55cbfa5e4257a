"""Names that would leave the workspace, or steer a terminal, are refused with the field that holds them."""

import json
import os
from pathlib import Path

import pytest
from hostile import NAMES_IN_USE, NAMES_THAT_LEAVE
from sound_documents import CASE, DATASET, PLAN, PREDICTION, RUN, SCORE

from mixcl_auto.errors import DataError, PlanError
from mixcl_auto.inference.scans import find_scans
from mixcl_auto.io.plans import read_plan
from mixcl_auto.io.raw_dataset import read_raw_dataset
from mixcl_auto.io.scores import read_scores, write_scores
from mixcl_auto.records.case import CachedCase
from mixcl_auto.records.names import shown
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.prediction import HeldOutPredictions, PredictionRecord
from mixcl_auto.records.record import Record
from mixcl_auto.records.run import FinetuneRun
from mixcl_auto.records.split import DatasetSplit

PLACES = {
    "datasets.0.name": Plan,
    "datasets.0.cases.1": Plan,
    "datasets.1.split": Plan,
    "datasets.1.fingerprint": Plan,
    "experiment.inits.1": Plan,
    "dataset": FinetuneRun,
    "init": FinetuneRun,
    "held_out_cases.0": FinetuneRun,
    "plan.datasets.0.name": FinetuneRun,
    "id": CachedCase,
    "scans.0": PredictionRecord,
    "other_scans.0": PredictionRecord,
}
"""Field to the record that has it; each becomes a part of a path."""
SOUND: dict[type[Record], Record] = {type(record): record for record in (PLAN, RUN, CASE, PREDICTION)}


def with_name(record: Record, place: str, name: str) -> str:
    """The record's JSON with another name at a place."""
    document = json.loads(record.to_json())
    *path, last = [int(part) if part.isdecimal() else part for part in place.split(".")]
    holder = document
    for part in path:
        holder = holder[part]
    holder[last] = name
    return json.dumps(document)


def is_hash(place: str) -> bool:
    return place.endswith((".split", ".fingerprint"))


@pytest.mark.parametrize("name", NAMES_THAT_LEAVE, ids=repr)
@pytest.mark.parametrize("place", PLACES)
def test_a_name_that_leaves_is_refused_with_its_field(place, name):
    kind = PLACES[place]
    if is_hash(place) and name == "":
        return
    with pytest.raises(PlanError) as caught:
        kind.from_json(with_name(SOUND[kind], place, name), source="stranger.json", error=PlanError)
    assert f"\n  {place}: " in str(caught.value)
    assert str(caught.value).replace("\n", "").isprintable()


@pytest.mark.parametrize("name", NAMES_IN_USE, ids=repr)
@pytest.mark.parametrize("place", [place for place in PLACES if not is_hash(place)])
def test_names_that_datasets_have_are_taken(place, name):
    kind = PLACES[place]
    text = with_name(SOUND[kind], place, name)
    assert json.loads(kind.from_json(text, source="x").to_json()) == json.loads(text)


@pytest.mark.parametrize("field", ["training", "held_out"])
def test_folds_of_a_stranger_name_no_other_folder(field):
    folds = [{"training": ["a"], "held_out": ["b"], field: ["../../x"]}]
    with pytest.raises(DataError, match=rf"folds\.0\.{field}\.0: \.\./\.\./x: a name must be a plain name"):
        DatasetSplit.from_json(json.dumps({"dataset": "D", "seed": 0, "folds": folds}), source="x")


def test_done_predictions_of_a_stranger_name_no_other_folder():
    text = json.dumps({"model_sha256": "0", "inference": {}, "cases": ["../x"]})
    with pytest.raises(DataError, match=r"cases\.0: \.\./x: a name must be a plain name"):
        HeldOutPredictions.from_json(text, source="x")


@pytest.mark.parametrize("init", ["../x", "results/x", ".pt", "a\nb.pt", "x/.safetensors", "", "../.."])
def test_an_init_that_is_neither_a_plain_name_nor_a_weights_file_is_refused(init):
    with pytest.raises(PlanError, match=r"experiment\.inits\.1: .*names no initial weights"):
        Plan.from_json(with_name(PLAN, "experiment.inits.1", init), source="x", error=PlanError)


def test_a_weights_file_may_lie_anywhere():
    text = with_name(PLAN, "experiment.inits.1", "/shared/weights v2/encoder.pt")
    assert Plan.from_json(text, source="x").experiment.inits[1] == "/shared/weights v2/encoder.pt"


def test_organs_that_can_not_be_printed_are_refused():
    document = json.loads(PLAN.to_json())
    document["datasets"][0]["labels"] = {"liver\x1b[31m": 1}
    with pytest.raises(PlanError, match=r"can't be printed as a name") as caught:
        Plan.from_json(json.dumps(document), source="x", error=PlanError)
    assert "\x1b" not in str(caught.value)


def test_an_unknown_key_can_not_steer_the_terminal_nor_fill_it():
    document = json.loads(PLAN.to_json()) | {"\x1b]0;owned\x07": 1, "k" * 10_000: 2}
    with pytest.raises(PlanError) as caught:
        Plan.from_json(json.dumps(document), source="x", error=PlanError)
    assert r"\x1b]0;owned\x07: there is no such field" in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_of_thousands_of_mistakes_the_first_are_listed():
    document = json.loads(PLAN.to_json()) | {f"key{number}": 1 for number in range(5000)}
    with pytest.raises(PlanError, match=r"5000 mistake\(s\)[\s\S]*and 4950 more") as caught:
        Plan.from_json(json.dumps(document), source="x", error=PlanError)
    assert str(caught.value).count("\n") == 51


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("liver", "liver"),
        ("a\nb", r"a\nb"),
        ("x" * 81, "x" * 80 + "..."),
        ("\u202egpj", r"\u202egpj"),
        ("Milß", "Milß"),
    ],
)
def test_a_strangers_word_is_shown_in_one_line(name, text):
    assert shown(name) == text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[" * 100_000, "recursion limit exceeded"),
        ('{"version": ' + "9" * 10_000 + "}", "number out of range"),
        ('{"warnings": ["' + "x" * 50_000_000 + '"]}', "more than 50 MB are too much for a plan"),
        ('{"pretrain": {"temperature": NaN}}', "finite"),
        ('{"pretrain": {"temperature": 1e999}}', "finite"),
        ('{"description": "\\ud800"}', "not JSON"),
        ("", "not JSON"),
        ('{"__class__": "os.system", "version": 1}', "__class__: there is no such field"),
        ('{"network": {"backbone": "os.system"}}', r"network\.backbone: Input should be 'unetr'"),
    ],
    ids=["depth", "digits", "size", "nan", "infinity", "surrogate", "empty", "class", "backbone"],
)
def test_a_plan_that_is_no_plan_is_refused(tmp_path, content, reason):
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises((PlanError, DataError), match=reason):
        read_plan(tmp_path / "plan.json")


def test_a_key_given_twice_in_a_plan_is_refused(tmp_path):
    (tmp_path / "plan.json").write_text('{"pretrain": {"seed": 1, "seed": 2}}')
    with pytest.raises(PlanError, match=r"plan\.json: keys given twice: seed; keep one of each"):
        read_plan(tmp_path / "plan.json")


@pytest.mark.parametrize("place", ["/dev/zero", "pipe"])
def test_what_never_ends_is_not_read(tmp_path, place):
    path = tmp_path / "plan.json"
    if place == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(place)
    with pytest.raises(DataError, match=r"plan\.json: the plan is no regular file"):
        read_plan(path)


@pytest.mark.parametrize("field", ["image", "label"])
@pytest.mark.parametrize("path", ["a\0b", "a\nb", "x" * 5000])
def test_a_listed_path_that_no_file_can_have_is_refused(tmp_path, field, path):
    cases = [{"id": "a", "image": "a", "label": "b", field: path}]
    (tmp_path / "dataset.json").write_text(json.dumps({**DATASET, "cases": cases}))
    with pytest.raises(DataError, match=rf"cases\.0\.{field}: .*can't be the path of a file"):
        read_raw_dataset(tmp_path)


def test_listed_files_may_lie_elsewhere_since_the_key_is_there_for_that(tmp_path):
    (tmp_path / "dataset.json").write_text(json.dumps(DATASET))
    case = read_raw_dataset(tmp_path).cases[1]
    assert (case.image, case.label) == (Path("/elsewhere/b.nii.gz"), tmp_path / "../b.nii.gz")


def test_a_case_of_a_strangers_scores_is_no_path(tmp_path):
    write_scores(tmp_path / "scores.csv", [SCORE])
    path = tmp_path / "scores.csv"
    path.write_text(path.read_text().replace("\na,", "\n../a,"))
    with pytest.raises(DataError, match=r"scores\.csv, line 2: [\s\S]*case: \.\./a: a name must be"):
        read_scores(path)


def test_a_cell_without_end_in_a_table_of_scores_is_refused(tmp_path):
    write_scores(tmp_path / "scores.csv", [SCORE])
    path = tmp_path / "scores.csv"
    path.write_text(path.read_text() + "x" * 200_000)
    with pytest.raises(DataError, match=r"scores\.csv: the table of scores is damaged \(field larger than"):
        read_scores(path)


def test_a_scan_whose_name_can_not_be_written_is_refused_before_it_is_read(tmp_path):
    scan = tmp_path / "a\x1b[2J.nii.gz"
    scan.write_bytes(b"x")
    with pytest.raises(DataError, match=r"a scan must be a plain name") as caught:
        find_scans(scan)
    assert "\x1b[2J" not in str(caught.value)
