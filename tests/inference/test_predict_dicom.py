import logging
import sys

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_series import series_geometry, tilted_direction, write_series

from mixcl_auto.errors import DataError, RunError
from mixcl_auto.inference.predict import predict_files
from mixcl_auto.inference.scans import find_scans
from mixcl_auto.io.dicom import choose_series
from mixcl_auto.io.images import read_image, read_labels, write_image
from mixcl_auto.io.orientation import from_ras, ras_spacing_mm, to_ras

FEET_FIRST = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, -1.0)


def write_scan(folder, scan_hu, direction=None, **series):
    """A series with the organ in it, its files in odd order; returns its geometry."""
    size = (34, 30, 17)
    given = {"direction": direction} if direction else {}
    geometry = series_geometry(size, spacing_mm=(1.0, 1.2, 2.5), **given)
    hu, _ = scan_hu(geometry)
    values = from_ras(hu, geometry).transpose(2, 1, 0)
    write_series(folder, values, geometry, name=lambda k: f"IM{(k * 7) % size[2]:03d}", **series)
    return geometry


def segmented(path, folder):
    """A segmentation's labels as (i, j, k) on the grid of its series, each frame placed by its position."""
    segmentation = pydicom.dcmread(path)
    series, _ = choose_series(folder)
    positions = [
        np.array(pydicom.dcmread(file, stop_before_pixels=True).ImagePositionPatient) for file in series.files
    ]
    labels = np.zeros(series.geometry.size, np.uint8)
    frames = segmentation.pixel_array.reshape(-1, segmentation.Rows, segmentation.Columns)
    for item, frame in zip(segmentation.PerFrameFunctionalGroupsSequence, frames, strict=True):
        position = item.PlanePositionSequence[0].ImagePositionPatient
        (k,) = np.flatnonzero([np.array_equal(position, other) for other in positions])
        labels[:, :, k][frame.T == 1] = 1
    return labels, series.geometry


@pytest.mark.parametrize(
    "direction", [None, FEET_FIRST, tilted_direction("x", 20)], ids=["axial", "feet first", "oblique"]
)
def test_a_segmentation_equals_the_nifti_of_the_same_series(threshold_run, tmp_path, scan_hu, direction):
    run, series = threshold_run, tmp_path / "patient"
    geometry = write_scan(series, scan_hu, direction)
    (nifti,) = predict_files([run.folder], find_scans(series), tmp_path / "out", device="cpu")
    (seg,) = predict_files(
        [run.folder], find_scans(series), tmp_path / "out", label_format="dicom-seg", device="cpu"
    )
    assert (nifti.name, seg.name) == ("patient.nii.gz", "patient.dcm")
    expected = read_labels(nifti)
    assert expected.array.any()
    assert expected.geometry.size == geometry.size
    assert expected.geometry.orientation == geometry.orientation
    for ours, written in (
        (expected.geometry.spacing_mm, geometry.spacing_mm),
        (expected.geometry.origin_mm, geometry.origin_mm),
        (expected.geometry.direction, geometry.direction),
    ):
        np.testing.assert_allclose(ours, written, atol=1e-4)
    found, grid = segmented(seg, series)
    np.testing.assert_array_equal(to_ras(found, grid), expected.array)


def test_a_series_and_its_nifti_get_the_same_label_map(threshold_run, tmp_path, scan_hu):
    run = threshold_run
    write_scan(tmp_path / "series", scan_hu)
    volume = read_image(tmp_path / "series")
    write_image(tmp_path / "image.nii.gz", volume.array, ras_spacing_mm(volume.geometry), volume.geometry)
    of_series, of_image = (
        predict_files([run.folder], find_scans(tmp_path / name), tmp_path / "out", device="cpu")[0]
        for name in ("series", "image.nii.gz")
    )
    np.testing.assert_array_equal(read_labels(of_series).array, read_labels(of_image).array)


def test_a_segmentation_names_the_plans_organs_and_the_runs(threshold_run, tmp_path, scan_hu):
    run = threshold_run
    write_scan(tmp_path / "series", scan_hu)
    scans = find_scans(tmp_path / "series")
    (path,) = predict_files([run.folder], scans, tmp_path / "out", label_format="dicom-seg", device="cpu")
    (segment,) = highdicom.seg.segread(path).SegmentSequence
    assert segment.SegmentLabel == "organ"
    parameters = segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmParameters
    assert parameters.endswith("runs=Target/scratch/fraction_1/fold_0/seed_0")


def test_an_organ_that_is_nowhere_gives_an_empty_segmentation(threshold_run, write_run, tmp_path, scan_hu):
    run = threshold_run
    write_run(run.workspace, run.plan, level=1.5)
    write_scan(tmp_path / "series", scan_hu)
    scans = find_scans(tmp_path / "series")
    (path,) = predict_files([run.folder], scans, tmp_path / "out", label_format="dicom-seg", device="cpu")
    assert not pydicom.dcmread(path).pixel_array.any()


def test_a_bad_series_does_not_keep_the_others_from_their_label_maps(
    threshold_run, tmp_path, scan_hu, caplog
):
    run, patients = threshold_run, tmp_path / "patients"
    for name in ("ann", "bob", "cid"):
        write_scan(patients / name, scan_hu, study_uid={"ann": "1.1", "bob": "1.2", "cid": "1.3"}[name])
    choose_series(patients / "bob")[0].files[5].unlink()
    with (
        caplog.at_level(logging.ERROR),
        pytest.raises(RunError, match=r"1 of 3 scans could not be segmented(.|\n)*bob: .*1 slice is missing"),
    ):
        predict_files([run.folder], find_scans(patients), tmp_path / "out", device="cpu")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.nii.gz")) == ["ann.nii.gz", "cid.nii.gz"]
    assert "bob" in caplog.text


def test_a_segmentation_of_an_image_is_refused_before_any_work(threshold_run, tmp_path):
    run = threshold_run
    with pytest.raises(DataError, match=r"case_lps_0000.nii.gz \(and 1 more\): not a DICOM series"):
        predict_files([run.folder], find_scans(run.scans), tmp_path / "out", label_format="dicom-seg")
    assert not (tmp_path / "out").exists()
    assert run.networks == []


def test_without_highdicom_a_segmentation_is_refused_before_any_work(
    threshold_run, tmp_path, scan_hu, monkeypatch
):
    run = threshold_run
    write_scan(tmp_path / "series", scan_hu)
    scans = find_scans(tmp_path / "series")
    monkeypatch.setitem(sys.modules, "highdicom.seg", None)
    with pytest.raises(RunError, match=r"pip install 'mixcl_auto\[dicom\]'"):
        predict_files([run.folder], scans, tmp_path / "out", label_format="dicom-seg")
    assert run.networks == []
    (path,) = predict_files([run.folder], scans, tmp_path / "out", device="cpu")
    assert path.name == "series.nii.gz"


def test_a_segmentation_never_overwrites_a_slice(threshold_run, tmp_path, scan_hu):
    run, folder = threshold_run, tmp_path / "1"
    write_scan(folder, scan_hu)
    next(folder.iterdir()).rename(folder / "1.dcm")
    before = (folder / "1.dcm").read_bytes()
    with pytest.raises(DataError, match=r"would overwrite .*1\.dcm; choose another output folder"):
        predict_files([run.folder], find_scans(folder), folder, label_format="dicom-seg", device="cpu")
    assert (folder / "1.dcm").read_bytes() == before
