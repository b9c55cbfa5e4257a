import itertools

import numpy as np
import pytest
import SimpleITK

from mixcl_auto.errors import DataError
from mixcl_auto.io import images

sitk = SimpleITK

ORIENTATIONS = [
    "".join(letters)
    for axes in itertools.permutations(("RL", "AP", "SI"))
    for letters in itertools.product(*axes)
]


def physical_ramp(image: sitk.Image) -> np.ndarray:
    """The physical point (R, A, S) in mm of every voxel, as (k, j, i, 3), by ITK's own arithmetic."""
    size = image.GetSize()
    points = [
        image.TransformIndexToPhysicalPoint((i, j, k))
        for k in range(size[2])
        for j in range(size[1])
        for i in range(size[0])
    ]
    left_posterior_superior = np.array(points).reshape(size[2], size[1], size[0], 3)
    return left_posterior_superior * (-1, -1, 1)


def make_file(path, orientation, axis=0, tilt=None):
    """A file of the given orientation whose values are the coordinate along a RAS axis."""
    base = sitk.Image(4, 5, 6, sitk.sitkInt16)
    base.SetSpacing((2.0, 3.0, 4.0))
    base.SetOrigin((10.0, -20.0, 30.0))
    image = sitk.DICOMOrient(base, orientation)
    if tilt is not None:
        image.SetDirection((tilt @ np.array(image.GetDirection()).reshape(3, 3)).ravel())
    values = np.round(physical_ramp(image)[..., axis]).astype(np.int16)
    filled = sitk.GetImageFromArray(values)
    filled.CopyInformation(image)
    sitk.WriteImage(filled, str(path))
    return filled


def test_there_are_48_axis_aligned_orientations():
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_axes_run_right_anterior_superior_for_every_orientation(tmp_path, orientation):
    for axis in range(3):
        make_file(tmp_path / "image.nii.gz", orientation, axis)
        array = images.read_image(tmp_path / "image.nii.gz").array
        steps = [np.unique(np.diff(array, axis=other)).tolist() for other in range(3)]
        assert [step == [0] for step in steps] == [other != axis for other in range(3)]
        assert steps[axis][0] > 0


def test_arrays_equal_those_of_itks_own_reorientation(tmp_path):
    for orientation in ORIENTATIONS:
        source = make_file(tmp_path / "image.nii.gz", orientation)
        oriented = sitk.DICOMOrient(source, "RAS")
        volume = images.read_image(tmp_path / "image.nii.gz")
        np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(oriented).transpose(2, 1, 0))
        assert volume.spacing_mm == oriented.GetSpacing()
        assert volume.array.flags.c_contiguous


def grid_of(folder, orientation):
    make_file(folder / "image.nii.gz", orientation)
    return images.read_geometry(folder / "image.nii.gz")


def rotation(degrees):
    angle = np.deg2rad(degrees)
    about_z = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    return about_z @ about_x


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize(("orientation", "degrees"), [("LPS", 0), ("PIR", 0), ("ASL", 20), ("LPS", 17)])
def test_labels_go_back_onto_the_sources_grid_exactly(tmp_path, suffix, orientation, degrees):
    source = tmp_path / f"image{suffix}"
    make_file(source, orientation, tilt=rotation(degrees))
    volume = images.read_image(source)
    images.write_labels(tmp_path / f"labels{suffix}", (volume.array > 0).astype(np.uint8), volume.geometry)
    read, written = sitk.ReadImage(str(source)), sitk.ReadImage(str(tmp_path / f"labels{suffix}"))
    assert written.GetSize() == read.GetSize()
    assert written.GetSpacing() == read.GetSpacing()
    assert written.GetOrigin() == read.GetOrigin()
    # NIfTI keeps an oblique direction as a float32 quaternion
    tolerance = 1e-7 if suffix == ".nii.gz" and degrees else 0
    np.testing.assert_allclose(written.GetDirection(), read.GetDirection(), rtol=0, atol=tolerance)
    assert written.GetPixelID() == sitk.sitkUInt8
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(read) > 0)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_from_ras_undoes_to_ras(tmp_path, orientation):
    geometry = grid_of(tmp_path, orientation)
    array = np.arange(np.prod(geometry.size), dtype=np.int16).reshape(geometry.size)
    ras = images.to_ras(array, geometry)
    assert ras.shape == images.ras_shape(geometry)
    np.testing.assert_array_equal(images.from_ras(ras, geometry).transpose(2, 1, 0), array)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_volume_need_not_be_copied(tmp_path, orientation):
    geometry = grid_of(tmp_path, orientation)
    array = np.arange(np.prod(geometry.size), dtype=np.int16).reshape(geometry.size, order="F")
    kept = images.to_ras(array, geometry, contiguous=False)
    np.testing.assert_array_equal(kept, images.to_ras(array, geometry))
    assert np.shares_memory(kept, array)


def test_blocked_copies_equal_plain_ones_beyond_a_block():
    array = np.random.default_rng(0).integers(0, 99, (70, 33, 130)).astype(np.int16)
    geometry = images.ras_geometry(array.shape, (1.0, 1.0, 1.0)).model_copy(update={"orientation": "SLA"})
    np.testing.assert_array_equal(images.to_ras(array, geometry), array.transpose(1, 2, 0)[::-1])


def test_labels_of_another_shape_are_refused(tmp_path):
    geometry = images.ras_geometry((4, 5, 6), (1.0, 1.0, 1.0))
    with pytest.raises(DataError, match=r"shape \(4, 5, 7\), but the source grid has \(4, 5, 6\)"):
        images.write_labels(tmp_path / "x.nii.gz", np.zeros((4, 5, 7), np.uint8), geometry)


def test_an_image_without_a_source_lies_on_a_plain_ras_grid(tmp_path):
    array = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    images.write_image(tmp_path / "x.nii.gz", array, (1.5, 2.0, 2.5))
    volume = images.read_image(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(volume.array, array)
    assert (volume.spacing_mm, volume.geometry.orientation) == ((1.5, 2.0, 2.5), "RAS")


def write_values(path, values):
    sitk.WriteImage(sitk.GetImageFromArray(values), str(path))
    return path


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.array([[[-1024.0, 3071.0]]]), np.int16),
        (np.array([[[0.5, 1.0]]]), np.float32),
        (np.array([[[0.0, 40000.0]]]), np.float32),
        (np.array([[[0.0, np.nan]]]), np.float32),
        (np.array([[[0, 40000]]], np.int32), np.float32),
        (np.array([[[0, 200]]], np.uint8), np.int16),
        (np.array([[[0, 65535]]], np.uint16), np.float32),
    ],
)
def test_images_are_int16_where_that_keeps_every_value(tmp_path, values, dtype):
    array = images.read_image(write_values(tmp_path / "x.nii.gz", values)).array
    assert array.dtype == dtype
    np.testing.assert_array_equal(array.ravel(), values.ravel()[::-1])


@pytest.mark.parametrize(
    ("values", "dtype"),
    [(np.array([[[0.0, 13.0]]]), np.uint8), (np.array([[[0, 300]]], np.int32), np.int16)],
)
def test_label_types_follow_their_values(tmp_path, values, dtype):
    array = images.read_labels(write_values(tmp_path / "x.nii.gz", values)).array
    assert array.dtype == dtype
    np.testing.assert_array_equal(array.ravel(), values.ravel()[::-1])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[[0.0, 1.5]]], np.float32), r"x\.nii\.gz: label maps hold whole numbers, got 1\.5"),
        (np.array([[[0.0, np.nan]]]), "whole numbers, got nan"),
        (np.array([[[-1, 1]]], np.int16), "from 0 to 32767, got values from -1 to 1"),
        (np.array([[[0, 70000]]], np.int32), "got values from 0 to 70000"),
    ],
)
def test_labels_that_are_not_labels_are_refused(tmp_path, values, message):
    with pytest.raises(DataError, match=message):
        images.read_labels(write_values(tmp_path / "x.nii.gz", values))


def test_a_fourth_axis_of_length_one_is_dropped(tmp_path):
    values = np.arange(24, dtype=np.int16).reshape(1, 2, 3, 4)
    image = sitk.JoinSeries([sitk.GetImageFromArray(values[0])])
    sitk.WriteImage(image, str(tmp_path / "x.nii.gz"))
    assert images.read_image(tmp_path / "x.nii.gz").array.shape == (4, 3, 2)


def plant_four_phases(path):
    sitk.WriteImage(sitk.JoinSeries([sitk.Image(3, 3, 3, sitk.sitkInt16)] * 4), str(path))


def plant_colour(path):
    sitk.WriteImage(sitk.Image([3, 3, 3], sitk.sitkVectorUInt8, 3), str(path))


def plant_slice(path):
    sitk.WriteImage(sitk.Image([3, 3], sitk.sitkInt16), str(path))


def plant_truncated(path):
    noise = np.random.default_rng(0).integers(0, 999, (20, 20, 20)).astype(np.int16)
    write_values(path, noise)
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (plant_four_phases, r"4 axes \(3 x 3 x 3 x 4\), 3 are needed"),
        (plant_colour, "3 values per voxel"),
        (plant_slice, "2 axes"),
        (plant_truncated, "truncated or damaged"),
        (lambda path: path.write_bytes(b""), r"empty \(0 bytes\)"),
        (lambda path: path.write_bytes(b"not an image"), "this is no NIfTI file"),
        (lambda path: None, "no such file"),
    ],
)
def test_unusable_files_are_named_with_their_fault(tmp_path, plant, message):
    plant(tmp_path / "x.nii.gz")
    with pytest.raises(DataError, match=message) as problem:
        images.read_image(tmp_path / "x.nii.gz")
    assert "x.nii.gz" in str(problem.value)
    assert str(problem.value).count("\n") == 0
