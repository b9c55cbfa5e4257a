import json
from pathlib import Path

import numpy as np
import pytest

from mixcl_auto.io.images import read_image, read_labels
from mixcl_auto.io.raw_dataset import read_raw_dataset
from mixcl_auto.phantoms.ct import keep_organs, make_patient
from mixcl_auto.workflows.phantom_datasets import PhantomDataset, grid_geometry, write_phantom_datasets

SPACING = (11.0, 12.0, 13.0)


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "PIR", "ASL"])
@pytest.mark.parametrize("tilt", [0.0, 5.0])
def test_files_of_any_orientation_read_back_as_the_patient_that_was_drawn(
    tmp_path: Path, orientation: str, tilt: float
) -> None:
    dataset = PhantomDataset("One", "target", ("spleen", "liver"), 1, (orientation,), tilt)
    (folder,) = write_phantom_datasets(tmp_path, [dataset], seed=7, spacing_mm=SPACING)
    image, labels, _ = make_patient(np.random.default_rng([7, 0, 0]), spacing_mm=SPACING)
    volume = read_image(folder / "imagesTr" / "one_000_0000.nii.gz")
    np.testing.assert_array_equal(volume.array, image)
    assert volume.geometry.orientation == orientation
    assert volume.spacing_mm == pytest.approx(SPACING)
    read = read_labels(folder / "labelsTr" / "one_000.nii.gz").array
    np.testing.assert_array_equal(read, keep_organs(labels, ("spleen", "liver")))


def test_written_dataset_is_a_raw_dataset(tmp_path: Path) -> None:
    dataset = PhantomDataset("Two", "pretrain", ("aorta", "stomach"), 2)
    (folder,) = write_phantom_datasets(tmp_path, [dataset], spacing_mm=SPACING)
    raw = read_raw_dataset(folder)
    assert raw.labels == {"aorta": 1, "stomach": 2}
    assert [case.id for case in raw.cases] == ["two_000", "two_001"]
    assert raw.role == "pretrain"
    assert json.loads((folder / "dataset.json").read_text())["numTraining"] == 2


def test_grid_axes_point_where_the_letters_say() -> None:
    geometry = grid_geometry((10, 20, 30), (1.0, 2.0, 3.0), "PIR")
    assert geometry.size == (20, 30, 10)
    assert geometry.spacing_mm == (2.0, 3.0, 1.0)
    direction = np.array(geometry.direction).reshape(3, 3)
    np.testing.assert_array_equal(direction[:, 0], [0, 1, 0])  # posterior
    np.testing.assert_array_equal(direction[:, 1], [0, 0, -1])  # inferior
    np.testing.assert_array_equal(direction[:, 2], [-1, 0, 0])  # right


def test_tilted_directions_stay_orthonormal() -> None:
    direction = np.array(grid_geometry((4, 5, 6), SPACING, "LAS", tilt_degrees=6.0).direction).reshape(3, 3)
    np.testing.assert_allclose(direction.T @ direction, np.eye(3), atol=1e-12)
    assert not np.allclose(np.abs(direction), np.eye(3))
