import numpy as np
import pytest
import SimpleITK

from mixcl_auto.io.inspection import inspect_case, inspect_datasets
from mixcl_auto.records.case import RawCase, RawDataset

sitk = SimpleITK


def write(path, values, orientation="LPS"):
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((1.0, 2.0, 3.0))
    sitk.WriteImage(sitk.DICOMOrient(image, orientation), str(path))


@pytest.fixture
def case(tmp_path):
    generator = np.random.default_rng(0)
    image = generator.integers(-1000, 1000, (4, 5, 6)).astype(np.int16)
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1, 2, 3:5], labels[2, 2, 2] = 1, 2
    write(tmp_path / "i.nii.gz", image)
    write(tmp_path / "l.nii.gz", labels)
    return RawCase(id="a", image=tmp_path / "i.nii.gz", label=tmp_path / "l.nii.gz", patient="p")


def values(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_facts_are_those_of_the_files(case):
    found = inspect_case("D", case)
    image, labels = values(case.image), values(case.label)
    assert (found.dataset, found.case, found.patient, found.problems) == ("D", "a", "p", {})
    assert found.label_voxels == {0: 117, 1: 2, 2: 1}
    assert found.intensities.mean == pytest.approx(image.mean())
    assert found.foreground.voxels == 3
    assert found.foreground.median == np.median(image[labels > 0])
    assert (found.foreground_quantiles[0], found.foreground_quantiles[200]) == (
        image[labels > 0].min(),
        image[labels > 0].max(),
    )
    assert found.image.geometry.spacing_mm == (1.0, 2.0, 3.0)


def test_content_is_known_again_in_another_compression(case, tmp_path):
    sitk.WriteImage(sitk.ReadImage(str(case.image)), str(tmp_path / "plain.nii"))
    again = inspect_case("D", case.model_copy(update={"image": tmp_path / "plain.nii"}))
    first = inspect_case("D", case)
    assert first.image.sha256 != again.image.sha256
    assert first.image.content_sha256 == again.image.content_sha256


@pytest.mark.parametrize("orientation", ["LAS", "RAS", "PIR", "SLP"])
@pytest.mark.parametrize("kind", [sitk.sitkInt16, sitk.sitkFloat32])
def test_content_is_known_again_however_it_is_turned_or_stored(case, orientation, kind):
    first = inspect_case("D", case)
    for path in (case.image, case.label):
        turned = sitk.DICOMOrient(sitk.ReadImage(str(path)), orientation)
        sitk.WriteImage(sitk.Cast(turned, kind), str(path))
    again = inspect_case("D", case)
    assert first.image.content_sha256 == again.image.content_sha256
    assert first.label.content_sha256 == again.label.content_sha256


def test_content_differs_where_the_same_voxels_point_elsewhere(case):
    first = inspect_case("D", case)
    image = sitk.ReadImage(str(case.image))
    image.SetDirection((-1, 0, 0, 0, 1, 0, 0, 0, 1))
    sitk.WriteImage(image, str(case.image))
    assert inspect_case("D", case).image.content_sha256 != first.image.content_sha256


def test_content_differs_by_a_single_voxel(case, tmp_path):
    image = values(case.image)
    image[0, 0, 0] += 1
    write(tmp_path / "other.nii.gz", image)
    other = inspect_case("D", case.model_copy(update={"image": tmp_path / "other.nii.gz"}))
    assert inspect_case("D", case).image.content_sha256 != other.image.content_sha256


def test_nan_is_counted_and_left_out_of_the_statistics(case):
    image = values(case.image).astype(np.float32)
    image[0, 0, :2] = np.nan, np.inf
    write(case.image, image + np.float32(0.5))
    found = inspect_case("D", case)
    assert found.non_finite_voxels == 2
    assert found.intensities.voxels == 118
    assert np.isfinite(found.intensities.mean)


def test_unusable_files_are_noted_without_an_exception(case):
    case.image.write_bytes(b"")
    write(case.label, np.full((4, 5, 6), 0.5, np.float32))
    found = inspect_case("D", case)
    assert found.image is None
    assert found.label is None
    assert found.problems[str(case.image)].startswith("the file is empty")
    assert "whole numbers" in found.problems[str(case.label)]


@pytest.mark.parametrize("orientation", ["RAS", "LAS", "PIR", "SLP"])
def test_a_label_map_with_its_axes_in_another_order_marks_the_same_voxels(case, orientation):
    before = inspect_case("D", case)
    labels = sitk.DICOMOrient(sitk.ReadImage(str(case.label)), orientation)
    sitk.WriteImage(labels, str(case.label))
    found = inspect_case("D", case)
    assert found.label.geometry.orientation == orientation
    assert (found.foreground, found.label_voxels) == (before.foreground, before.label_voxels)


def test_shapes_that_differ_leave_no_foreground(case):
    write(case.label, np.ones((4, 5, 7), np.uint8))
    found = inspect_case("D", case)
    assert found.foreground is None
    assert found.label_voxels == {1: 140}


def test_a_case_without_label_is_noted(case):
    assert "no label map" in inspect_case("D", case.model_copy(update={"label": None})).problems["label"]


def test_datasets_are_inspected_in_their_order_whatever_the_jobs(case):
    cases = tuple(case.model_copy(update={"id": name}) for name in "abc")
    datasets = [RawDataset(name=name, role="both", labels={"x": 1, "y": 2}, cases=cases) for name in "DE"]
    found = inspect_datasets(datasets, jobs=2)
    assert [(item.dataset, item.case) for item in found] == [(d, c) for d in "DE" for c in "abc"]
    assert found == inspect_datasets(datasets, jobs=1)
