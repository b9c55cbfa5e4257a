import pytest

from mixcl_auto.errors import DataError
from mixcl_auto.io.scores import read_scores, write_scores
from mixcl_auto.records.score import OrganScore

ROW = OrganScore(
    case='scan "1", left',
    patient="",
    organ="liver",
    label=1,
    dice=1 / 3,
    dice_resampled=None,
    hd95_mm=1e-17,
    surface_dice=0.0,
    reference_voxels=12,
    prediction_voxels=0,
)


def test_scores_come_back_bit_for_bit(tmp_path):
    scores = [ROW, ROW.model_copy(update={"dice": None, "hd95_mm": 0.1 + 0.2})]
    write_scores(tmp_path / "scores.csv", scores)
    assert read_scores(tmp_path / "scores.csv") == scores


def test_no_scores_are_an_empty_table(tmp_path):
    write_scores(tmp_path / "scores.csv", [])
    assert read_scores(tmp_path / "scores.csv") == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace("dice,", "dsc,", 1), "columns must be case"),
        (lambda text: text.replace(",12,", ",twelve,"), r"line 2: 1 mistake.*\n.*reference_voxels"),
        (lambda text: text.rstrip() + ",1\n", "line 2: 10 cells expected, got 11; score the run again"),
        (lambda text: "", "columns must be"),
    ],
)
def test_damaged_tables_are_named(tmp_path, damage, message):
    path = tmp_path / "scores.csv"
    write_scores(path, [ROW])
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataError, match=message):
        read_scores(path)
