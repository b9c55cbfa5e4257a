"""Plans, datasets, folds, runs and scores from anybody: refused by an error of ours, or plain data."""

import json
from pathlib import Path
from typing import Any

import pytest
from hostile import bounded, mutated_bytes, mutated_documents, read_or_refuse
from hypothesis import given
from hypothesis import strategies as st
from sound_documents import DATASET, PLAN, RECORDS, SCORE

from mixcl_auto.io.plans import read_fingerprint, read_plan
from mixcl_auto.io.raw_dataset import read_raw_dataset
from mixcl_auto.io.scores import read_scores, write_scores
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.experiment import init_name
from mixcl_auto.records.fingerprint import DatasetFingerprint
from mixcl_auto.records.names import is_plain_name, is_printable
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.plan_edits import edit_plan


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("documents")


def written(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def paths_of(plan: Plan) -> list[Path]:
    """Every path that follows from a plan's names."""
    workspace = Workspace(Path("/w"))
    paths = [workspace.pretrain("plan", name).path for name in plan.experiment.ablations]
    paths += [workspace.pretrain("plan", init_name(init)).path for init in plan.experiment.inits]
    for dataset in plan.datasets:
        paths += [workspace.fingerprint(dataset.name), workspace.split(dataset.name)]
        paths += [workspace.plans / "splits" / f"x.{dataset.split}.{dataset.fingerprint}.json"]
        paths += [
            workspace.cached_case(dataset.name, "0", case) for case in (*dataset.cases, *dataset.left_out)
        ]
    return paths


@bounded(150)
@given(document=mutated_documents(json.loads(PLAN.to_json())))
def test_a_changed_plan_is_refused_or_reads_back_and_stays_in_the_workspace(folder, document):
    plan = read_or_refuse(lambda: read_plan(written(folder / "plan.json", document)))
    if plan is None:
        return
    assert Plan.from_json(plan.to_json(), source="again") == plan
    assert all(path.resolve().is_relative_to("/w") for path in paths_of(plan))
    read_or_refuse(lambda: read_fingerprint(Workspace(folder), plan.datasets[0]) if plan.datasets else None)


@bounded(150)
@given(text=mutated_bytes(PLAN.to_json().encode()))
def test_a_damaged_plan_is_refused_or_reads_back(folder, text):
    path = folder / "damaged.json"
    path.write_bytes(text)
    plan = read_or_refuse(lambda: read_plan(path))
    assert plan is None or Plan.from_json(plan.to_json(), source="again") == plan


@bounded(100)
@given(
    key=st.sampled_from(["pretrain.seed", "network.patch_size", "experiment.inits", "preprocess.window_hu"]),
    value=st.text(max_size=30) | st.sampled_from(["[" * 100_000, "9" * 5000, "NaN", "[1e999]", '"\\ud800"']),
)
def test_an_edit_is_applied_or_refused(key, value):
    read_or_refuse(lambda: edit_plan(PLAN, [f"{key}={value}"]))


@bounded(150)
@given(document=mutated_documents(DATASET))
def test_a_changed_dataset_json_is_refused_or_has_plain_names(folder, document):
    path = written(folder / "Pool" / "dataset.json", document)
    dataset = read_or_refuse(lambda: read_raw_dataset(path.parent))
    if dataset is None:
        return
    assert all(is_plain_name(case.id) for case in dataset.cases)
    assert all(is_printable(name) for name in dataset.labels)
    for case in dataset.cases:
        for file in (case.image, case.label):
            assert file is None or not file.is_file()  # names that the file system can't take raise here


@bounded(100)
@given(text=mutated_bytes(json.dumps(DATASET).encode()))
def test_a_damaged_dataset_json_is_refused_or_read(folder, text):
    (folder / "Damaged").mkdir(exist_ok=True)
    (folder / "Damaged" / "dataset.json").write_bytes(text)
    read_or_refuse(lambda: read_raw_dataset(folder / "Damaged"))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_changed_record_is_refused_or_reads_back(record):
    kind = type(record)

    @bounded(40)
    @given(document=mutated_documents(json.loads(record.to_json())))
    def check(document: Any) -> None:
        read = read_or_refuse(lambda: kind.from_json(json.dumps(document), source="x"))
        assert read is None or kind.from_json(read.to_json(), source="again") == read

    check()


@bounded(150)
@given(data=st.data())
def test_a_damaged_table_of_scores_is_refused_or_reads_back(folder, data):
    path = folder / "scores.csv"
    write_scores(path, [SCORE, SCORE])
    path.write_bytes(data.draw(mutated_bytes(path.read_bytes())))
    scores = read_or_refuse(lambda: read_scores(path))
    if scores is not None:
        write_scores(path, scores)
        assert read_scores(path) == scores


def test_a_fingerprint_of_a_stranger_names_no_other_folder():
    with pytest.raises(ValueError, match="must be a plain name"):
        DatasetFingerprint.model_validate({"dataset": "../x"})
