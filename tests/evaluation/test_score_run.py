import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from cached_phantoms import planned_key, put_fingerprint

from mixcl_auto.errors import DataError, RunError
from mixcl_auto.evaluation.score import score_run
from mixcl_auto.io.case_writer import write_case
from mixcl_auto.io.files import file_sha256, write_text
from mixcl_auto.io.images import write_image, write_labels
from mixcl_auto.io.orientation import ras_geometry
from mixcl_auto.io.runs import read_finetune_run
from mixcl_auto.io.scores import read_scores
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.case import CachedCase, Geometry
from mixcl_auto.records.plan import DatasetPlan, Plan
from mixcl_auto.records.record import content_hash
from mixcl_auto.records.run import Environment, FinetuneRun

LABELS = {"liver": 1, "spleen": 2}
SOURCE = Geometry(
    size=(8, 10, 12),
    spacing_mm=(2.0, 1.0, 3.0),
    origin_mm=(0.0, 0.0, 0.0),
    direction=(1, 0, 0, 0, 1, 0, 0, 0, 1),
    orientation="LPS",
)


def label_map(shape, shift=0):
    labels = np.zeros(shape, np.uint8)
    labels[1 + shift : 5 + shift, 2:6, 2:6] = 1
    labels[1:3, 7:9, 8:10] = 2
    return labels


@pytest.fixture
def predicted_run(tmp_path):
    """Two held-out cases: 'a' is predicted perfectly, the liver of 'b' two voxels (4 mm) off along x."""
    workspace, cases = Workspace(tmp_path), ("a", "b")
    folder = workspace.finetune("plan", "Target", "scratch", 0.5, 0, 0)
    preprocess_hash, label_hashes = content_hash(Plan().preprocess), {}
    raw = workspace.raw_data / "Target"
    write_text(
        raw / "dataset.json", json.dumps({"labels": {"background": 0, **LABELS}, "file_ending": ".nii.gz"})
    )
    for case, shift in zip(cases, (0, 2), strict=True):
        reference, prediction = label_map((8, 10, 12)), label_map((8, 10, 12), shift)
        write_image(
            raw / "imagesTr" / f"{case}_0000.nii.gz", reference.astype(np.int16), (2.0, 1.0, 3.0), SOURCE
        )
        label_path = raw / "labelsTr" / f"{case}.nii.gz"
        write_labels(label_path, reference, SOURCE)
        label_hashes[case] = file_sha256(label_path)
        write_labels(folder.prediction(case), prediction, SOURCE)
        small, small_prediction = label_map((12, 10, 12)), label_map((12, 10, 12), shift // 2)
        write_labels(
            folder.resampled_prediction(case), small_prediction, ras_geometry(small.shape, (1.5, 1.5, 2.0))
        )
        record = CachedCase(
            id=case,
            key=planned_key(case, preprocess_hash, patient=f"patient_{case}", label_hash=label_hashes[case]),
            patient=f"patient_{case}",
            shape=small.shape,
            spacing_mm=(1.5, 1.5, 2.0),
            source=SOURCE,
            label_voxels={},
        )
        write_case(
            workspace.cached_case("Target", preprocess_hash, case),
            record,
            image=small.astype(np.int16),
            labels=small,
            distance=small,
            foreground={},
        )
    dataset = DatasetPlan(
        name="Target",
        role="target",
        labels=LABELS,
        cases=cases,
        fingerprint=put_fingerprint(workspace, "Target", cases, label_hashes),
        split="0",
    )
    run = FinetuneRun(
        dataset="Target",
        init="scratch",
        fraction=0.5,
        fold=0,
        seed=0,
        plan=Plan(datasets=(dataset,)),
        status="trained",
        environment=Environment(
            mixcl_auto="0", torch="0", python="3", device="cpu", precision="fp32", threads=1
        ),
        weights=None,
        training_cases=(),
        held_out_cases=cases,
        parameters=1,
        iterations=1,
    )
    write_text(folder.run, run.to_json())
    return SimpleNamespace(workspace=workspace, folder=folder, raw=raw)


def test_a_run_is_scored_on_both_grids_by_hand(predicted_run):
    run = predicted_run
    scores = {(s.case, s.organ): s for s in score_run(run.workspace, run.folder)}
    assert [s.dice for s in scores.values()] == [1.0, 1.0, 0.5, 1.0]
    off = scores["b", "liver"]
    # two of four planes overlap on the source grid, three of four on the plan's
    assert off.dice_resampled == 0.75
    assert off.hd95_mm == pytest.approx(4.0)
    assert off.patient == "patient_b"
    assert off.reference_voxels == off.prediction_voxels == 64


def test_scores_are_written_and_the_run_is_finished(predicted_run):
    run = predicted_run
    assert read_finetune_run(run.folder).status == "trained"
    scores = score_run(run.workspace, run.folder)
    assert read_scores(run.folder.scores) == scores
    assert read_finetune_run(run.folder).status == "finished"


@pytest.mark.parametrize("grid", ["prediction", "resampled_prediction"])
def test_a_missing_prediction_is_an_error_and_no_score_is_written(predicted_run, grid):
    run = predicted_run
    getattr(run.folder, grid)("b").unlink()
    with pytest.raises(RunError, match="1 of 2 held-out cases have no prediction: b; run"):
        score_run(run.workspace, run.folder)
    assert not run.folder.scores.exists()


def test_a_reference_that_left_the_raw_data_is_named(predicted_run):
    run = predicted_run
    (run.raw / "imagesTr" / "b_0000.nii.gz").unlink()
    (run.raw / "labelsTr" / "b.nii.gz").unlink()
    with pytest.raises(DataError, match="Target: case b is no longer in the raw data"):
        score_run(run.workspace, run.folder)


def test_a_reference_that_changed_since_it_was_planned_is_refused(predicted_run):
    run = predicted_run
    path = run.raw / "labelsTr" / "b.nii.gz"
    score_run(run.workspace, run.folder)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DataError, match=r"b\.nii\.gz: the reference changed after it was planned"):
        score_run(run.workspace, run.folder)


def test_organs_whose_values_were_exchanged_in_the_plan_are_refused(predicted_run):
    run = predicted_run
    document = {"labels": {"background": 0, "liver": 2, "spleen": 1}, "file_ending": ".nii.gz"}
    write_text(run.raw / "dataset.json", json.dumps(document))
    with pytest.raises(DataError, match=r"Target: liver is 1 in the plan and 2 in .*dataset\.json"):
        score_run(run.workspace, run.folder)
    assert not run.folder.scores.exists()


def test_organs_that_were_given_other_names_are_scored(predicted_run):
    run = predicted_run
    document = {"labels": {"background": 0, "Leber": 1, "spleen": 2}, "file_ending": ".nii.gz"}
    write_text(run.raw / "dataset.json", json.dumps(document))
    assert {score.organ for score in score_run(run.workspace, run.folder)} == {"liver", "spleen"}


def test_cached_references_of_other_files_than_planned_are_refused(predicted_run):
    run = predicted_run
    plan = read_finetune_run(run.folder).plan
    record = run.workspace.cached_case("Target", content_hash(plan.preprocess), "b") / "case.json"
    record.write_text(re.sub('"key": "[^"]*"', '"key": "another"', record.read_text()))
    with pytest.raises(RunError, match=r"Target: 1 of 2 cached cases were not made of the files .*\(b\)"):
        score_run(run.workspace, run.folder)
