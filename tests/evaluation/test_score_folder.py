import logging

import numpy as np
import pytest

from mixcl_auto.errors import DataError, RunError
from mixcl_auto.evaluation.score import find_label_maps, score_folder
from mixcl_auto.io.images import write_image

SPACING = (1.0, 1.0, 2.0)


@pytest.fixture
def folders(tmp_path):
    predictions, references = tmp_path / "predictions", tmp_path / "references"
    generator = np.random.default_rng(0)
    for case in ("a", "b"):
        labels = generator.integers(0, 3, (6, 5, 4)).astype(np.uint8)
        write_image(references / f"{case}.nii.gz", labels, SPACING)
        write_image(predictions / f"{case}.nrrd", labels, SPACING)
    return predictions, references


def test_equal_folders_score_perfectly(folders):
    scores = score_folder(*folders, {"liver": 1, "spleen": 2, "kidney": 3})
    assert [(score.case, score.organ) for score in scores[:3]] == [
        ("a", "liver"),
        ("a", "spleen"),
        ("a", "kidney"),
    ]
    assert [score.dice for score in scores] == [1.0, 1.0, None] * 2
    assert [score.hd95_mm for score in scores] == [0.0, 0.0, None] * 2
    assert {score.dice_resampled for score in scores} == {None}


def test_values_that_are_no_organ_are_told(folders, caplog):
    predictions, references = folders
    labels = np.zeros((6, 5, 4), np.uint8)
    labels[2:4] = 12
    write_image(references / "a.nii.gz", labels, SPACING)
    with caplog.at_level(logging.WARNING):
        score_folder(*folders, {"liver": 1, "spleen": 2})
    assert f"{references}: 1 of 2 label maps have the value 12" in caplog.text
    assert "no organ of the plan (liver 1, spleen 2)" in caplog.text
    assert str(predictions) not in caplog.text


def test_a_folder_is_not_scored_against_itself(folders):
    with pytest.raises(RunError, match="predictions and references are one folder"):
        score_folder(folders[0], folders[0] / ".." / folders[0].name, {"liver": 1})


def test_all_missing_predictions_are_named(folders):
    predictions, references = folders
    for case in ("x", "y"):
        write_image(references / f"{case}.nii.gz", np.zeros((3, 3, 3), np.uint8), SPACING)
    with pytest.raises(RunError, match="2 of 4 references have no prediction: x, y; predict them"):
        score_folder(predictions, references, {"liver": 1})


def test_a_prediction_without_a_reference_is_said(folders, caplog):
    write_image(folders[0] / "extra.nii.gz", np.zeros((3, 3, 3), np.uint8), SPACING)
    with caplog.at_level(logging.WARNING):
        scores = score_folder(*folders, {"liver": 1})
    assert {score.case for score in scores} == {"a", "b"}
    assert "no reference for extra" in caplog.text


@pytest.mark.parametrize(
    ("shape", "spacing", "message"),
    [
        ((6, 5, 5), SPACING, "case b.*reference has 6 x 5 x 4 voxels of 1 x 1 x 2 mm.*6 x 5 x 5 voxels"),
        ((6, 5, 4), (1.0, 1.0, 2.5), "case b.*1 x 1 x 2 mm.*1 x 1 x 2.5 mm"),
    ],
)
def test_a_prediction_on_another_grid_is_refused(folders, shape, spacing, message):
    write_image(folders[0] / "b.nrrd", np.zeros(shape, np.uint8), spacing)
    with pytest.raises(DataError, match=message):
        score_folder(*folders, {"liver": 1})


def test_no_references_are_refused(folders, tmp_path):
    with pytest.raises(DataError, match="nowhere: no label map there"):
        score_folder(folders[0], tmp_path / "nowhere", {"liver": 1})


def test_two_files_of_one_case_are_refused_and_hidden_ones_skipped(folders):
    references = folders[1]
    (references / "._a.nii.gz").write_bytes(b"")
    (references / "notes.txt").write_text("")
    assert list(find_label_maps(references)) == ["a", "b"]
    write_image(references / "a.mha", np.zeros((3, 3, 3), np.uint8), SPACING)
    with pytest.raises(DataError, match=r"a.mha and .*a.nii.gz are both of case a"):
        find_label_maps(references)
