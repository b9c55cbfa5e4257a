from pathlib import Path

import numpy as np
import pytest
from download_imitations import SPACING_MM, touch, write_nih, write_nih_label

from mixcl_auto.converters.conversion import Source
from mixcl_auto.converters.nih_pancreas import is_root, read
from mixcl_auto.errors import DataError
from mixcl_auto.io.case_files import label_volume

LABELS = "TCIA_pancreas_labels-02-05-2017"


def scans_of(download: Path) -> Path:
    return download / "manifest-1599750808610" / "Pancreas-CT"


def convert(download: Path):
    return read(scans_of(download), Source(download))


def symmetric_patient(number: int):
    """An organ in the middle of an empty room: any flip fits as well."""
    labels = np.zeros((20, 20, 12), np.uint8)
    labels[8:12, 8:12, 4:8] = 7
    return np.where(labels > 0, 60, -1000).astype(np.int16), labels


def clear_patient(number: int):
    image, labels = symmetric_patient(number)
    image, labels = np.roll(image, (5, 4, 2), (0, 1, 2)), np.roll(labels, (5, 4, 2), (0, 1, 2))
    return image, labels


@pytest.mark.parametrize("flips", ["", "j", "k", "jk"])
def test_planted_flips_are_found_and_labels_lie_where_the_pancreas_is(tmp_path, flips):
    pancreases = write_nih(tmp_path, (1, 2), flips)
    found = convert(tmp_path)
    assert [case.label_flips for case in found.dataset.cases] == [flips, flips]
    for case in found.dataset.cases:
        np.testing.assert_array_equal(label_volume(case).array, pancreases[case.id])


def test_cases_are_matched_by_number_without_the_withdrawn_ones(tmp_path):
    write_nih(tmp_path, (1, 70), patient=clear_patient)
    write_nih_label(tmp_path / LABELS, 3, clear_patient(3)[1], "")
    touch(scans_of(tmp_path) / "PANCREAS_0004" / "s" / "1-01.dcm")
    found = convert(tmp_path)
    (case,) = found.dataset.cases
    assert (case.id, case.patient, case.series) == ("PANCREAS_0001", "PANCREAS_0001", None)
    assert case.image == scans_of(tmp_path) / "PANCREAS_0001"
    assert case.label == tmp_path / LABELS / "label0001.nii.gz"
    assert found.left_out == {
        "withdrawn by the source": ("PANCREAS_0025", "PANCREAS_0070"),
        "no label map": ("PANCREAS_0004",),
        "no scan": ("PANCREAS_0003",),
    }


def test_what_was_found_out_is_said(tmp_path):
    write_nih(tmp_path, (1,), "jk", patient=clear_patient)
    found = convert(tmp_path)
    assert found.remarks == (
        "label maps are flipped along j, k against their scans: 1 of 1 scans show it clearly",
    )
    assert found.warnings == ()
    assert found.dataset.labels == {"pancreas": 1}
    assert found.dataset.role == "pretrain"


def test_a_symmetric_scan_alone_is_refused(tmp_path):
    write_nih(tmp_path, (1,), patient=symmetric_patient)
    with pytest.raises(DataError, match="no flip of the label maps clearly fits"):
        convert(tmp_path)


def test_a_symmetric_scan_follows_the_others_with_a_warning(tmp_path):
    choose = {1: symmetric_patient, 2: clear_patient, 3: clear_patient}
    write_nih(tmp_path, (1, 2, 3), "j", patient=lambda number: choose[number](number))
    found = convert(tmp_path)
    assert [case.label_flips for case in found.dataset.cases] == ["j", "j", "j"]
    assert found.warnings == (
        "scans that don't show clearly how their label maps are flipped follow the others: PANCREAS_0001",
    )


def test_scans_that_disagree_are_refused(tmp_path):
    write_nih(tmp_path, (1, 2), {1: "j", 2: "k"}, patient=clear_patient)
    with pytest.raises(DataError, match=r"disagree .*1 flipped along j, 1 flipped along k"):
        convert(tmp_path)


def test_a_case_against_many_is_left_out_by_name(tmp_path):
    flips = dict.fromkeys(range(1, 11), "j") | {10: "ijk"}
    write_nih(tmp_path, tuple(flips), flips, patient=clear_patient, withdrawn_labels=False)
    found = convert(tmp_path)
    assert len(found.dataset.cases) == 9
    assert found.left_out == {
        "its label map fits only flipped along i, j, k, unlike the others'": ("PANCREAS_0010",)
    }


def test_a_case_that_can_not_be_read_is_left_out_with_its_reason(tmp_path):
    write_nih(tmp_path, (1, 2, 3), patient=clear_patient, withdrawn_labels=False)
    write_nih_label(tmp_path / LABELS, 2, np.ones((20, 20, 11), np.uint8), "")
    sorted(scans_of(tmp_path).glob("PANCREAS_0003/*/*/*"))[5].unlink()
    reasons = {cases: reason for reason, cases in convert(tmp_path).left_out.items()}
    assert reasons.keys() == {("PANCREAS_0002",), ("PANCREAS_0003",)}
    assert reasons["PANCREAS_0002",].startswith(
        "its label map has 20 x 20 x 11 voxels, and no series has as many ("
    )
    assert "slice" in reasons["PANCREAS_0003",]
    assert "missing" in reasons["PANCREAS_0003",]


def test_an_empty_label_map_is_left_out(tmp_path):
    write_nih(tmp_path, (1, 2), patient=clear_patient, withdrawn_labels=False)
    write_nih_label(tmp_path / LABELS, 2, np.zeros((20, 20, 12), np.uint8), "")
    assert convert(tmp_path).left_out == {"its label map is empty": ("PANCREAS_0002",)}


def test_of_several_series_the_one_with_the_label_maps_size_is_named(tmp_path):
    from dicom_series import series_geometry, write_series

    write_nih(tmp_path, (1,), patient=clear_patient)
    localiser = np.zeros((30, 30, 20), np.int16)
    geometry = series_geometry(localiser.shape, spacing_mm=SPACING_MM)
    folder = scans_of(tmp_path) / "PANCREAS_0001" / "study" / "other"
    write_series(folder, localiser, geometry, series_uid="1.2.3", number=7)
    (case,) = convert(tmp_path).dataset.cases
    assert case.series not in (None, "1.2.3")


def test_workers_find_the_same(tmp_path):
    write_nih(tmp_path, (1, 2), "k", patient=clear_patient)
    assert read(scans_of(tmp_path), Source(tmp_path, jobs=2)) == convert(tmp_path)


def test_scans_without_label_maps_say_where_to_put_them(tmp_path):
    touch(scans_of(tmp_path) / "PANCREAS_0001" / "s" / "1-01.dcm")
    with pytest.raises(
        DataError, match="holds the scans, but there are no label maps; extract the labels' archive"
    ):
        convert(tmp_path)


def test_label_maps_twice_are_refused(tmp_path):
    touch(scans_of(tmp_path) / "PANCREAS_0001" / "s" / "1-01.dcm")
    touch(tmp_path / "a" / "label0001.nii.gz", tmp_path / "b" / "label0001.nii.gz")
    with pytest.raises(DataError, match="several folders hold label maps"):
        convert(tmp_path)


def test_label_maps_of_btcv_beside_it_are_not_taken(tmp_path):
    write_nih(tmp_path, (1,), patient=clear_patient)
    touch(
        tmp_path / "Training" / "img" / "img0001.nii.gz", tmp_path / "Training" / "label" / "label0001.nii.gz"
    )
    assert [case.label.parent.name for case in convert(tmp_path).dataset.cases] == [LABELS]


def test_label_maps_may_lie_among_the_scans(tmp_path):
    write_nih(tmp_path, (1,), patient=clear_patient, withdrawn_labels=False)
    (tmp_path / LABELS / "label0001.nii.gz").rename(scans_of(tmp_path) / "label0001.nii.gz")
    assert len(convert(tmp_path).dataset.cases) == 1


def test_the_folder_of_the_patients_is_the_root(tmp_path):
    touch(scans_of(tmp_path) / "PANCREAS_0001" / "s" / "1-01.dcm")
    assert is_root(scans_of(tmp_path))
    assert not is_root(tmp_path)
