import numpy as np
import pytest
import SimpleITK

from mixcl_auto.errors import DataError
from mixcl_auto.io.case_files import (
    image_sha256,
    image_volume,
    label_sha256,
    label_volume,
    read_case_image,
    read_case_labels,
)
from mixcl_auto.io.images import write_image, write_labels
from mixcl_auto.io.orientation import ras_geometry
from mixcl_auto.records.case import RawCase

SHAPE = (5, 6, 7)


@pytest.fixture
def labels():
    return np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.uint8)


@pytest.fixture
def case(tmp_path, labels):
    """The label map's header puts it elsewhere than its image."""
    grid = ras_geometry(SHAPE, (1.0, 2.0, 3.0)).model_copy(update={"origin_mm": (9.0, 8.0, 7.0)})
    write_image(tmp_path / "i.nii.gz", labels.astype(np.int16) * 100, (1.0, 2.0, 3.0), grid)
    write_labels(tmp_path / "l.nii.gz", labels, ras_geometry(SHAPE, (1.0, 1.0, 1.0)))
    return RawCase(id="a", image=tmp_path / "i.nii.gz", label=tmp_path / "l.nii.gz", patient="p")


def test_without_flips_the_label_maps_own_header_holds(case, labels):
    volume = label_volume(case)
    np.testing.assert_array_equal(volume.array, labels)
    assert volume.spacing_mm == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(("flips", "axes"), [("", ()), ("j", (1,)), ("ik", (0, 2)), ("ijk", (0, 1, 2))])
def test_flipped_label_maps_lie_on_the_images_grid(case, labels, flips, axes):
    volume = label_volume(case.model_copy(update={"label_flips": flips}))
    np.testing.assert_array_equal(volume.array, np.flip(labels, axes))
    assert volume.geometry == image_volume(case).geometry


def test_the_hash_knows_the_flips(case):
    hashes = {label_sha256(case.model_copy(update={"label_flips": flips})) for flips in (None, "", "i", "ij")}
    assert len(hashes) == 4
    flipped = case.model_copy(update={"label_flips": "i"})
    assert read_case_labels(flipped, hashed=True).sha256 == label_sha256(flipped)
    assert read_case_labels(case, hashed=True).sha256 == label_sha256(case)


def test_missing_files_have_no_hash(case, tmp_path):
    gone = case.model_copy(update={"image": tmp_path / "gone.nii", "label": None})
    assert (image_sha256(gone), label_sha256(gone)) == (None, None)


@pytest.mark.parametrize(("header", "voxels"), [("i.mhd", "i.raw"), ("i.nhdr", "i.raw"), ("i.mha", "i.mha")])
def test_the_hash_knows_voxels_in_another_file(case, header, voxels, tmp_path):
    image = SimpleITK.ReadImage(str(case.image))
    SimpleITK.WriteImage(image, str(tmp_path / header), useCompression=False)
    other = case.model_copy(update={"image": tmp_path / header})
    before = image_sha256(other)
    assert read_case_image(other, hashed=True).sha256 == before
    data = bytearray((tmp_path / voxels).read_bytes())
    data[-1] ^= 1
    (tmp_path / voxels).write_bytes(data)
    assert image_sha256(other) != before
    assert read_case_image(other, hashed=True).sha256 == image_sha256(other)


def test_a_flipped_label_map_of_another_shape_is_refused(case, labels, tmp_path):
    write_labels(tmp_path / "s.nii.gz", labels[1:], ras_geometry((4, 6, 7), (1.0, 1.0, 1.0)))
    other = case.model_copy(update={"label": tmp_path / "s.nii.gz", "label_flips": "i"})
    with pytest.raises(DataError, match="has 4 x 6 x 7 voxels, its image 5 x 6 x 7"):
        label_volume(other)
