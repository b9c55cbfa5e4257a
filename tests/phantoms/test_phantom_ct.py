import numpy as np
import pytest

from mixcl_auto.phantoms.anatomy import LABELS
from mixcl_auto.phantoms.ct import add_noise, keep_organs, make_patient
from mixcl_auto.phantoms.grid import Grid
from mixcl_auto.phantoms.patient import draw_patient

COARSE = (6.0, 6.0, 7.0)


@pytest.mark.parametrize("seed", range(5))
def test_every_organ_is_present_with_a_plausible_size(seed: int) -> None:
    _, labels, spacing = make_patient(np.random.default_rng(seed))
    millilitres = {
        organ: np.count_nonzero(labels == value) * np.prod(spacing) / 1000 for organ, value in LABELS.items()
    }
    assert all(volume > 2 for volume in millilitres.values()), millilitres
    assert millilitres["gallbladder"] < millilitres["spleen"] < millilitres["liver"] < 2500


def test_same_seed_gives_the_same_scan_and_another_seed_another() -> None:
    first, labels, spacing = make_patient(np.random.default_rng(3))
    again, labels_again, spacing_again = make_patient(np.random.default_rng(3))
    other, _, _ = make_patient(np.random.default_rng(4), spacing_mm=spacing)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(labels, labels_again)
    assert spacing == spacing_again
    assert not np.array_equal(first, other)


def test_left_and_right_organs_lie_on_their_sides_in_ras() -> None:
    _, labels, _ = make_patient(np.random.default_rng(0))
    middle = (labels.shape[0] - 1) / 2
    x = {organ: np.argwhere(labels == value)[:, 0].mean() for organ, value in LABELS.items()}
    assert x["right_kidney"] > middle > x["left_kidney"]
    assert x["liver"] > middle > x["spleen"]


def test_spinal_cord_runs_through_every_slice() -> None:
    _, labels, _ = make_patient(np.random.default_rng(1))
    assert (labels == LABELS["spinal_cord"]).any(axis=(0, 1)).all()


def test_densities_of_organs_overlap_so_that_no_threshold_separates_them() -> None:
    image, labels, _ = make_patient(np.random.default_rng(2))
    liver, spleen = image[labels == LABELS["liver"]], image[labels == LABELS["spleen"]]
    middle = (np.median(liver) + np.median(spleen)) / 2
    accuracies = [
        ((liver > middle).mean() + (spleen < middle).mean()) / 2,
        ((liver < middle).mean() + (spleen > middle).mean()) / 2,
    ]
    assert max(accuracies) < 0.85


def test_air_surrounds_the_body() -> None:
    image, labels, _ = make_patient(np.random.default_rng(2), noise_hu=0.0)
    assert np.all(image[0] == -1000)
    assert np.all(labels[image < -900] == 0)


def test_sampling_at_twice_the_spacing_agrees_where_the_voxel_centres_coincide() -> None:
    patient = draw_patient(np.random.default_rng(5))
    fine = Grid((61, 45, 31), COARSE, (-183.0, -135.0, -108.5))
    coarse = Grid((20, 15, 10), (18.0, 18.0, 21.0), fine.lower_mm)
    image, labels = patient.sample(fine)
    image_coarse, labels_coarse = patient.sample(coarse)
    centre = (slice(1, 60, 3), slice(1, 45, 3), slice(1, 30, 3))
    np.testing.assert_allclose(image_coarse, image[centre], atol=0.5)
    assert np.mean(labels_coarse == labels[centre]) > 0.999


def test_grid_at_another_spacing_has_the_rounded_size_and_the_same_corner() -> None:
    grid = Grid((10, 11, 12), (2.0, 2.0, 3.0), (-10.0, -11.0, -18.0)).at_spacing((1.5, 4.0, 2.0))
    assert grid.shape == (13, 6, 18)  # round(20 / 1.5), round(22 / 4) to even, round(36 / 2)
    assert grid.axes()[0][0] == pytest.approx(-10.0 + 0.75)


def test_noise_has_the_deviation_asked_for() -> None:
    noisy = add_noise(np.zeros((40, 40, 40), np.float32), 12.0, np.random.default_rng(0))
    assert noisy.std() == pytest.approx(12.0, rel=0.02)
    assert abs(noisy.mean()) < 0.5


def test_kept_organs_are_numbered_in_the_order_given() -> None:
    labels = np.array([[[0, LABELS["liver"], LABELS["aorta"], LABELS["spleen"]]]], dtype=np.uint8)
    assert keep_organs(labels, ["spleen", "liver"]).tolist() == [[[0, 2, 0, 1]]]
    with pytest.raises(KeyError):
        keep_organs(labels, ["heart"])
