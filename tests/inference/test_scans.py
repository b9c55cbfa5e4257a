import logging
import os
import re

import numpy as np
import pytest
from dicom_series import series_geometry, tilted_direction, write_series

from mixcl_auto.errors import DataError
from mixcl_auto.inference.scans import (
    Scan,
    case_name,
    find_scans,
    read_scan,
    refuse_clashes,
    scan_list,
    scan_sha256,
)
from mixcl_auto.io import dicom_files
from mixcl_auto.io.dicom_slices import scan_folder

SIZE = (6, 5, 4)


def write_study(folder, *series, study="1.2.3", slices=4):
    """A study with a series in each of the sub-folders named, or directly in its folder."""
    for number, name in enumerate(series or (".",), start=1):
        size = (6, 5, slices + number)
        uid = f"{study}.{number}"
        write_series(
            folder / name,
            np.zeros(size),
            series_geometry(size),
            study_uid=study,
            series_uid=uid,
            number=number,
        )
    return folder


def names(scans):
    return [scan.name for scan in scans]


def test_images_are_found_by_suffix_and_hidden_ones_skipped(tmp_path):
    for name in ("b.NRRD", "a_0000.nii.gz", "._a_0000.nii.gz", "notes.txt", "c.mha"):
        (tmp_path / name).write_bytes(b"")
    assert find_scans(tmp_path) == [
        Scan(tmp_path / "a_0000.nii.gz", "a"),
        Scan(tmp_path / "b.NRRD", "b"),
        Scan(tmp_path / "c.mha", "c"),
    ]
    assert find_scans(tmp_path / "c.mha") == [Scan(tmp_path / "c.mha", "c")]
    assert case_name(tmp_path / "x.y_0000.nii.gz") == "x.y"


@pytest.mark.parametrize(
    ("files", "told"), [(("a_0000", "a_0001"), "a_0001"), (("a_0001", "b_0000"), ""), (("a_2019",), "")]
)
def test_further_channels_are_told_of(tmp_path, caplog, files, told):
    for name in files:
        (tmp_path / f"{name}.nii.gz").write_bytes(b"")
    assert len(find_scans(tmp_path)) == len(files)
    assert [record.args[0].name for record in caplog.records] == ([f"{told}.nii.gz"] if told else [])


@pytest.mark.parametrize("name", ["empty", "nowhere"])
def test_no_scan_is_said_with_what_to_give(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        DataError, match=rf"{name}: no scan there; give an image .* a folder with DICOM slices"
    ):
        find_scans(tmp_path / name)


def test_slices_directly_in_a_folder_are_one_scan(tmp_path):
    folder = write_study(tmp_path / "patient_1.2")
    assert find_scans(folder) == [Scan(folder, "patient_1.2", is_dicom=True)]


def test_a_chain_of_folders_is_one_scan_named_after_the_first(tmp_path):
    write_study(tmp_path / "patient" / "study" / "series")
    assert find_scans(tmp_path / "patient") == [Scan(tmp_path / "patient", "patient", is_dicom=True)]


def test_the_series_of_one_study_are_one_scan_wherever_they_lie(tmp_path):
    study = write_study(tmp_path / "study", "localiser", "axial", "coronal")
    assert find_scans(study) == [Scan(study, "study", is_dicom=True)]


def test_each_patients_folder_is_one_scan(tmp_path):
    write_study(tmp_path / "ann", study="1.1")
    write_study(tmp_path / "bob", "study/first", "study/second", study="1.2")
    (tmp_path / "notes").mkdir()
    scans = find_scans(tmp_path)
    assert scans == [Scan(tmp_path / name, name, is_dicom=True) for name in ("ann", "bob")]
    assert scan_list(scans) == "2 scans (ann, bob), DICOM"


def test_a_patients_second_study_is_a_scan_of_its_own(tmp_path):
    write_study(tmp_path / "ann", study="1.1")
    write_study(tmp_path / "bob" / "2001", study="1.2")
    write_study(tmp_path / "bob" / "2002", "first", "second", study="1.3")
    scans = find_scans(tmp_path)
    assert names(scans) == ["ann", "bob_2001", "bob_2002"]
    assert scans[2].path == tmp_path / "bob" / "2002"


def test_a_folder_may_mix_images_and_series(tmp_path):
    write_study(tmp_path / "mid", study="1.1")
    for name in ("a_0000.nii.gz", "z.nii.gz"):
        (tmp_path / name).write_bytes(b"")
    scans = find_scans(tmp_path)
    assert [(scan.name, scan.is_dicom) for scan in scans] == [("a", False), ("mid", True), ("z", False)]
    assert scan_list(scans) == "3 scans (a, mid, z), 1 of them DICOM"


def test_an_image_beside_slices_is_left_out_and_said(tmp_path, caplog):
    folder = write_study(tmp_path / "series")
    (folder / "mask.nii.gz").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert names(find_scans(folder)) == ["series"]
    assert "mask.nii.gz beside its slices left out" in caplog.text


def test_a_folder_whose_slices_are_all_damaged_is_not_passed_over(tmp_path):
    write_study(tmp_path / "ann", study="1.1")
    (tmp_path / "bob").mkdir()
    (tmp_path / "bob" / "slice.dcm").write_bytes(b"")
    scans = find_scans(tmp_path)
    assert names(scans) == ["ann", "bob"]
    with pytest.raises(DataError, match=r"bob: no DICOM slices .*slice\.dcm.*empty"):
        read_scan(scans[1])


def test_files_that_can_not_be_opened_do_not_hide_the_others(tmp_path, monkeypatch):
    write_study(tmp_path / "ann", study="1.1")
    write_study(tmp_path / "bob", study="1.2")
    (tmp_path / "image.nii.gz").write_bytes(b"")
    (tmp_path / "lost").mkdir()
    (tmp_path / "lost" / "slice.dcm").symlink_to(tmp_path / "nowhere")

    def forbid(path):
        if path.name == "image.nii.gz" or path.parent.name == "bob":
            raise DataError("forbidden")
        return dicom_files.sop_class_of(path)

    monkeypatch.setattr("mixcl_auto.io.dicom_studies.sop_class_of", forbid)
    assert names(find_scans(tmp_path)) == ["ann", "bob", "image", "lost"]


def test_slices_without_a_study_are_one_scan_per_folder(tmp_path):
    def forget(_, dataset):
        dataset.StudyInstanceUID = ""

    for name in ("a", "b"):
        write_series(tmp_path / name, np.zeros(SIZE), series_geometry(SIZE), edit=forget)
    assert names(find_scans(tmp_path)) == ["a", "b"]


def test_the_current_folder_gives_its_own_name(tmp_path, monkeypatch):
    monkeypatch.chdir(write_study(tmp_path / "here"))
    (scan,) = find_scans(type(tmp_path)(os.curdir))
    assert scan.name == "here"


def test_the_largest_axial_series_is_read_and_said(tmp_path, caplog):
    study = write_study(tmp_path / "study", "localiser", "axial")
    size = (6, 5, 12)
    sagittal = series_geometry(size, direction=tilted_direction("x", 90))
    write_series(study / "other", np.zeros(size), sagittal, study_uid="1.2.3", number=3)
    (scan,) = find_scans(study)
    with caplog.at_level(logging.INFO):
        volume, files, sha256 = read_scan(scan)
    assert sha256 == scan_sha256(scan)
    assert volume.array.shape == (6, 5, 6)
    assert {file.parent for file in files} == {study / "axial"}
    assert "series 2" in caplog.text


def test_the_series_asked_for_is_read(tmp_path):
    study = write_study(tmp_path / "study", "first", "second")
    for wanted in ("1", "1.2.3.1"):
        (scan,) = find_scans(study, wanted)
        assert {file.parent for file in read_scan(scan)[1]} == {study / "first"}
    (scan,) = find_scans(study, "7")
    with pytest.raises(DataError, match="no series 7"):
        read_scan(scan)


def test_a_series_is_chosen_of_one_dicom_scan_only(tmp_path):
    write_study(tmp_path / "ann", study="1.1")
    write_study(tmp_path / "bob", study="1.2")
    with pytest.raises(
        DataError, match=re.escape("here are 2 scans (ann, bob), DICOM; give the folder of one")
    ):
        find_scans(tmp_path, "1")
    image = tmp_path / "a.nii.gz"
    image.write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.nii\.gz: --series 1 is for DICOM series, this is an image"):
        find_scans(image, "1")


def test_the_headers_of_a_series_are_listed_once_to_read_it_and_know_its_bytes(tmp_path, monkeypatch):
    listed = []

    def noted(folder):
        listed.append(folder)
        return scan_folder(folder)

    (scan,) = find_scans(write_study(tmp_path / "study"))
    monkeypatch.setattr("mixcl_auto.io.dicom.scan_folder", noted)
    assert len(read_scan(scan).sha256) == 64
    assert listed == [tmp_path / "study"]


def test_scans_of_one_name_are_refused(tmp_path):
    write_study(tmp_path / "ann", study="1.1")
    (tmp_path / "ann.nii.gz").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"ann\.nii\.gz and .*ann would both be written as ann\.dcm; rename one"
    ):
        refuse_clashes(find_scans(tmp_path), ".dcm")
    with pytest.raises(DataError, match="no scan to segment"):
        refuse_clashes([], ".dcm")


def test_long_lists_of_scans_are_cut(tmp_path):
    scans = [Scan(tmp_path / str(n), str(n)) for n in range(11)]
    assert scan_list(scans) == "11 scans (0, 1, 2, 3, 4, 5, 6, 7, and 3 more)"
    assert scan_list(scans[:1]) == "1 scan (0)"
