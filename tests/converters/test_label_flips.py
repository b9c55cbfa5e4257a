from pathlib import Path

import numpy as np
import pytest

from mixcl_auto.converters.label_flips import FLIPS, settle_flips, tissue_contrasts
from mixcl_auto.errors import DataError
from mixcl_auto.io.images import read_file

FAT, TISSUE, BONE = -100, 60, 600


def flipped(array: np.ndarray, flips: str) -> np.ndarray:
    return np.flip(array, ["ijk".index(axis) for axis in flips])


@pytest.fixture
def organ() -> tuple[np.ndarray, np.ndarray]:
    """An organ in fat, with muscle and bone elsewhere; nothing mirrors anything."""
    image = np.full((24, 20, 16), FAT, np.int16)
    labels = np.zeros(image.shape, np.uint8)
    labels[3:9, 4:8, 2:6] = 1
    image[labels == 1] = TISSUE
    image[14:, 2:18, :] = TISSUE
    image[16:20, 14:18, 9:] = BONE
    return image, labels


@pytest.mark.parametrize("planted", FLIPS)
def test_a_planted_flip_has_the_highest_contrast(organ, planted):
    image, labels = organ
    contrasts = tissue_contrasts(image, flipped(labels, planted), (4.0, 4.0, 4.0))
    assert contrasts[planted] == 1.0
    assert max(value for flips, value in contrasts.items() if flips != planted) < 0.5


def test_contrast_is_the_share_inside_less_that_in_the_shell():
    image = np.full((9, 9, 9), FAT, np.int16)
    labels = np.zeros(image.shape, np.uint8)
    labels[3:6, 3:6, 3:6] = 1
    image[labels == 1] = TISSUE
    image[3, 3:6, 3:6] = FAT  # 9 of the 27 voxels inside
    image[6, 3:6, 3:6] = TISSUE  # 9 of the 98 of the shell, one voxel wide at 4 mm
    contrasts = tissue_contrasts(image, labels, (4.0, 4.0, 4.0))
    assert contrasts[""] == pytest.approx(18 / 27 - 9 / 98)


def test_the_shell_is_as_wide_in_mm_whatever_the_spacing():
    image = np.full((40, 9, 9), FAT, np.int16)
    labels = np.zeros(image.shape, np.uint8)
    labels[18:22, 3:6, 3:6] = 1
    image[labels == 1] = TISSUE
    image[13:27][labels[13:27] == 0] = TISSUE  # tissue up to 5 voxels beyond, which is 5 mm at 1 mm
    assert tissue_contrasts(image, labels, (1.0, 4.0, 4.0))[""] == pytest.approx(0.0)


def test_a_label_at_the_border_of_the_scan_is_measured(organ):
    image, labels = organ
    edge = np.zeros_like(labels)
    edge[:2, :2, :2] = 1
    assert set(tissue_contrasts(image, edge, (4.0, 4.0, 4.0))) == set(FLIPS)


def measured(best: str, value: float = 0.5, others: float = 0.05) -> dict[str, float]:
    return {flips: value if flips == best else others for flips in FLIPS}


def test_cases_that_agree_settle_the_flip():
    settled = settle_flips({"a": measured("jk"), "b": measured("jk")})
    assert (settled.flips, settled.clear, settled.unclear, settled.against) == ("jk", ("a", "b"), (), {})


def test_unclear_cases_follow_the_others():
    settled = settle_flips({"a": measured("j"), "b": measured("i", 0.12), "c": measured("j", 0.3, 0.25)})
    assert (settled.flips, settled.unclear, settled.against) == ("j", ("b", "c"), {})


def test_a_single_case_against_many_is_named():
    cases = {f"case {number}": measured("") for number in range(9)} | {"odd": measured("k")}
    settled = settle_flips(cases)
    assert settled.flips == ""
    assert settled.against == {"odd": "k"}
    assert "odd" not in settled.clear + settled.unclear


def test_a_case_undecided_between_other_flips_speaks_against_too():
    torn = measured("i", 0.5) | {"ij": 0.48}
    assert settle_flips({"a": measured("j"), "torn": torn}).against == {"torn": "i"}


def test_disagreement_is_refused_with_the_votes():
    cases = {"a": measured("j"), "b": measured("j"), "c": measured("k")}
    with pytest.raises(DataError, match=r"disagree.*2 flipped along j, 1 flipped along k"):
        settle_flips(cases)


def test_no_clear_case_is_refused_with_the_figures():
    with pytest.raises(
        DataError, match=r"clearly fits their scans \(a: tissue contrast 0.12 flipped along i, 0.05"
    ):
        settle_flips({"a": measured("i", 0.12)})


def test_a_symmetric_scan_shows_no_flip():
    image = np.full((16, 16, 16), FAT, np.int16)
    labels = np.zeros(image.shape, np.uint8)
    labels[4:12, 4:12, 4:12] = 1
    image[labels == 1] = TISSUE
    contrasts = tissue_contrasts(image, labels, (2.0, 2.0, 2.0))
    assert set(contrasts.values()) == {1.0}
    with pytest.raises(DataError, match="no flip of the label maps clearly fits"):
        settle_flips({"symmetric": contrasts})


@pytest.mark.real_data
@pytest.mark.parametrize("case", ["TS_A", "TS_B"])
@pytest.mark.parametrize("planted", ["", "j", "jk", "ijk"])
def test_a_real_pancreas_shows_its_planted_flip(shared_data: Path, case: str, planted: str) -> None:
    folder = shared_data / "Abdomen_TS"
    image = read_file(folder / "imagesTr" / f"{case}_0000.nii.gz")
    pancreas = read_file(folder / "labelsTr" / f"{case}.nii.gz").values_ijk == 11
    contrasts = tissue_contrasts(image.values_ijk, flipped(pancreas, planted), image.geometry.spacing_mm)
    assert settle_flips({case: contrasts}).flips == planted
