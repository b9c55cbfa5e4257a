import pytest

from mixcl_auto.evaluation.summary import summarise_run
from mixcl_auto.records.score import OrganScore


def score(case, organ, dice, hd95_mm=None, voxels=(10, 10)):
    return OrganScore(
        case=case,
        patient=case,
        organ=organ,
        label=1,
        dice=dice,
        dice_resampled=dice,
        hd95_mm=hd95_mm,
        surface_dice=dice,
        reference_voxels=voxels[0],
        prediction_voxels=voxels[1],
    )


def test_summary_by_hand():
    scores = [
        score("a", "liver", 0.9, 2.0),
        score("a", "spleen", 0.0, 500.0, (10, 0)),
        score("b", "liver", 0.7, 4.0),
        score("b", "spleen", 0.0, 400.0, (0, 10)),
        score("c", "liver", 0.8, 6.0),
        score("c", "spleen", None, None, (0, 0)),
    ]
    summary = summarise_run(scores)
    assert summary.cases == 3
    assert summary.dice == pytest.approx((0.45 + 0.35 + 0.8) / 3)
    assert summary.hd95_mm == pytest.approx((251.0 + 202.0 + 6.0) / 3)
    liver, spleen = summary.organs
    assert (liver.cases, liver.missed, liver.invented) == (3, 0, 0)
    assert (liver.dice, liver.hd95_mm) == (pytest.approx(0.8), pytest.approx(4.0))
    assert (spleen.cases, spleen.missed, spleen.invented) == (2, 1, 1)
    assert (spleen.dice, spleen.hd95_mm, spleen.surface_dice) == (0.0, 450.0, 0.0)


def test_no_scores_have_no_figures():
    summary = summarise_run([])
    assert (summary.cases, summary.dice, summary.organs) == (0, None, ())
