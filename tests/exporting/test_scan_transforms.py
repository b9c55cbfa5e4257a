"""The bundle's transforms give the voxels that ``predict`` gives, in the file's own grid."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, LoadImaged, Orientationd, SaveImaged

from mixcl_auto.errors import DataError
from mixcl_auto.exporting.bundle_scripts.scan_transforms import (
    LabelsOnScanGridd,
    Standardised,
    header_spacing_mm,
)
from mixcl_auto.inference.predictor import to_source_grid
from mixcl_auto.io.images import read_image, read_labels
from mixcl_auto.transforms.intensity import to_unit_range
from mixcl_auto.transforms.standardise import standardise_image

SPACING_MM, WINDOW_HU = (1.5, 1.5, 2.0), (-150.0, 250.0)


def rotation(degrees: float) -> np.ndarray:
    """About the z axis."""
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])


FLIP = np.diag([-1.0, -1.0, 1.0])
DIRECTIONS = {
    "LPS": np.eye(3),
    "RAS": FLIP,
    "PIR": np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]], float),
    "oblique": rotation(11),
    "oblique_flipped": rotation(-7) @ FLIP,
}


def put_scan(path: Path, direction: np.ndarray) -> Path:
    """Odd sizes, and a spacing of 3 mm that makes the number of resampled voxels end in a half."""
    generator = np.random.default_rng(0)
    image = SimpleITK.GetImageFromArray(generator.integers(-300, 400, (7, 22, 19)).astype(np.int16))
    image.SetSpacing((1.1, 0.9, 3.0))
    image.SetOrigin((-20.5, 31.0, 7.25))
    image.SetDirection(direction.ravel().tolist())
    SimpleITK.WriteImage(image, str(path))
    return path


def preprocessing(step: float = 1.0) -> Compose:
    return Compose(
        [
            LoadImaged("image", ensure_channel_first=True),
            Standardised("image", SPACING_MM, WINDOW_HU, step),
        ]
    )


@pytest.mark.parametrize("step", [1.0, 0.5])
@pytest.mark.parametrize("name", DIRECTIONS)
def test_scan_is_standardised_as_in_predict_to_the_last_bit(tmp_path: Path, name: str, step: float) -> None:
    scan = put_scan(tmp_path / "scan.nii.gz", DIRECTIONS[name])
    volume = read_image(scan)
    steps = standardise_image(volume.array, volume.spacing_mm, SPACING_MM, WINDOW_HU, step)
    expected = to_unit_range(steps, [bound / step for bound in WINDOW_HU])
    found = preprocessing(step)({"image": str(scan)})["image"]
    assert found.shape == (1, *expected.shape)
    np.testing.assert_array_equal(found[0].numpy(), expected)


@pytest.mark.parametrize("name", DIRECTIONS)
def test_labels_are_those_of_predict_on_the_files_grid(tmp_path: Path, name: str) -> None:
    scan = put_scan(tmp_path / "scan.nii.gz", DIRECTIONS[name])
    data = preprocessing()({"image": str(scan)})
    shape = (4, *data["image"].shape[1:])
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    after = Compose(
        [
            LabelsOnScanGridd("pred", "image", SPACING_MM),
            SaveImaged(
                "pred",
                output_dir=tmp_path / "out",
                output_postfix="",
                output_dtype=np.uint8,
                resample=False,
                separate_folder=False,
                print_log=False,
            ),
        ]
    )
    after({**data, "pred": logits})
    written = tmp_path / "out" / "scan.nii.gz"
    expected = to_source_grid(logits.numpy(), SPACING_MM, read_image(scan).geometry)
    assert set(np.unique(expected)) == {0, 1, 2, 3}
    np.testing.assert_array_equal(read_labels(written).array, expected)
    source, target = (SimpleITK.ReadImage(str(path)) for path in (scan, written))
    assert target.GetSize() == source.GetSize()
    assert target.GetSpacing() == pytest.approx(source.GetSpacing(), rel=1e-6)
    assert target.GetOrigin() == pytest.approx(source.GetOrigin(), abs=1e-4)
    assert target.GetDirection() == pytest.approx(source.GetDirection(), abs=1e-6)


def test_resampled_affine_keeps_the_outer_corner(tmp_path: Path) -> None:
    scan = put_scan(tmp_path / "scan.nii.gz", DIRECTIONS["oblique"])
    to_ras = Orientationd("image", axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))
    load = LoadImaged("image", ensure_channel_first=True)
    before = Compose([load, to_ras])({"image": str(scan)})["image"].affine.numpy()
    after = preprocessing()({"image": str(scan)})["image"].affine.numpy()
    corner = np.array([-0.5, -0.5, -0.5, 1.0])
    np.testing.assert_allclose(after @ corner, before @ corner, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(after[:3, :3], axis=0), SPACING_MM, atol=1e-6)


@pytest.mark.parametrize("name", DIRECTIONS)
def test_spacing_is_the_headers_own(tmp_path: Path, name: str) -> None:
    scan = put_scan(tmp_path / "scan.nii.gz", DIRECTIONS[name])
    found = preprocessing()({"image": str(scan)})["image"]
    assert tuple(found.meta["scan_spacing_mm"]) == read_image(scan).spacing_mm


def test_a_stated_spacing_that_contradicts_the_affine_is_passed_over() -> None:
    scan = MetaTensor(torch.zeros(1, 2, 2, 2), affine=torch.diag(torch.tensor([1.0, 2.0, 3.0, 1.0])))
    assert header_spacing_mm(scan, [3.00001, 9.0, 1.0]) == [1.0, 2.0, 3.00001]
    assert header_spacing_mm(scan, []) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("mirrored", [True, False])
def test_a_header_that_leaves_the_sides_open_is_refused(tmp_path: Path, mirrored: bool) -> None:
    image = nibabel.load(put_scan(tmp_path / "scan.nii", np.eye(3)))
    image.set_sform(np.diag([-1.0, 1.0, 1.0, 1.0]) @ image.affine, code=2 * mirrored)
    image.set_qform(image.get_qform(), code=1 * mirrored)
    nibabel.save(image, tmp_path / "doubtful.nii")
    message = "contradicts itself" if mirrored else "does not tell the orientation"
    with pytest.raises(RuntimeError) as raised:
        preprocessing()({"image": str(tmp_path / "doubtful.nii")})
    assert isinstance(raised.value.__cause__, DataError)
    assert message in str(raised.value.__cause__)
