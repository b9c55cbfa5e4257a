import math

import numpy as np
import pytest

from mixcl_auto.errors import DataError
from mixcl_auto.evaluation.case_scores import check_grids
from mixcl_auto.evaluation.score import CaseMaps, score_case
from mixcl_auto.io.images import Volume
from mixcl_auto.io.orientation import ras_geometry

LABELS = {"liver": 1, "spleen": 2, "kidney": 3, "gallbladder": 4}


def maps(reference, prediction, **keywords):
    return CaseMaps("case_1", "patient_1", reference, prediction, (1.0, 2.0, 3.0), **keywords)


def test_every_figure_of_every_organ_by_hand():
    reference = np.zeros((10, 10, 10), dtype=np.uint8)
    prediction = reference.copy()
    reference[2:6, 2:6, 2:6] = 1
    prediction[4:8, 2:6, 2:6] = 1
    reference[8:10, 8:10, 8:10] = 2
    prediction[0, 0, 0] = 3
    resampled = (np.array([[[1, 1, 0]]]), np.array([[[1, 0, 0]]]))
    scores = {
        s.organ: s
        for s in score_case(maps(reference, prediction, resampled=resampled), LABELS, tolerance_mm=2.0)
    }
    diagonal_mm = math.sqrt(10**2 + 20**2 + 30**2)

    liver = scores["liver"]
    assert (liver.case, liver.patient, liver.label) == ("case_1", "patient_1", 1)
    assert (liver.reference_voxels, liver.prediction_voxels) == (64, 64)
    assert liver.dice == 0.5
    assert liver.dice_resampled == pytest.approx(2 / 3)
    assert liver.hd95_mm == pytest.approx(2.0)
    assert liver.surface_dice == pytest.approx(1.0)

    for organ, voxels in (("spleen", (8, 0)), ("kidney", (0, 1))):
        wrong = scores[organ]
        assert (wrong.reference_voxels, wrong.prediction_voxels) == voxels
        assert (wrong.dice, wrong.surface_dice) == (0.0, 0.0)
        assert wrong.hd95_mm == pytest.approx(diagonal_mm)

    absent = scores["gallbladder"]
    assert (absent.dice, absent.dice_resampled, absent.hd95_mm, absent.surface_dice) == (None,) * 4
    assert list(scores) == list(LABELS)


def test_a_missed_organ_never_improves_a_mean():
    reference = np.zeros((12, 12, 12), dtype=np.uint8)
    reference[2:8, 2:8, 2:8] = 1
    poor = np.roll(reference, 4, axis=0)
    missed = np.zeros_like(reference)
    found, lost = (score_case(maps(reference, p), {"liver": 1}, tolerance_mm=2.0)[0] for p in (poor, missed))
    assert lost.dice < found.dice
    assert lost.surface_dice < found.surface_dice
    assert lost.hd95_mm > found.hd95_mm


def test_another_grid_is_refused():
    with pytest.raises(DataError, match=r"case case_1.*shape \(4, 4, 4\).*\(4, 4, 5\)"):
        score_case(maps(np.zeros((4, 4, 5), int), np.zeros((4, 4, 4), int)), LABELS, tolerance_mm=2.0)


def volume_at(**changes):
    grid = ras_geometry((4, 5, 6), (1.0, 1.0, 2.0)).model_copy(update=changes)
    return Volume(np.zeros((4, 5, 6), np.uint8), (1.0, 1.0, 2.0), grid)


def volume_of(slices, thickness_mm):
    spacing_mm = (1.0, 1.0, thickness_mm)
    grid = ras_geometry((4, 5, slices), spacing_mm)
    return Volume(np.zeros((4, 5, slices), np.uint8), spacing_mm, grid)


def test_grids_that_lie_elsewhere_are_refused_and_rounding_is_forgiven():
    check_grids("a", volume_at(), volume_at(origin_mm=(0.1, 0.0, -0.1)))
    with pytest.raises(DataError, match=r"case a: the grids lie up to 30\.0 mm apart in space"):
        check_grids("a", volume_at(), volume_at(origin_mm=(0.0, 0.0, 30.0)))
    with pytest.raises(DataError, match="apart in space"):
        check_grids("a", volume_at(), volume_at(direction=(1.0, 0, 0, 0, 1, 0, 0, 0, 1), orientation="LPS"))


def test_a_spacing_that_validation_takes_for_rounding_is_scored():
    check_grids("a", volume_of(40, 0.8), volume_of(40, 0.803))  # 0.15 voxels at the far end
    with pytest.raises(
        DataError, match=r"grids differ.*0\.8 mm, the prediction 4 x 5 x 40 voxels of 1 x 1 x 1 mm"
    ):
        check_grids("a", volume_of(40, 0.8), volume_of(40, 1.0))


def test_the_same_voxels_stored_in_another_order_are_the_same_grid():
    flipped = volume_at(
        direction=(1.0, 0, 0, 0, -1, 0, 0, 0, 1), orientation="LAS", origin_mm=(-3.0, 0.0, 0.0)
    )
    check_grids("a", volume_at(), flipped)
