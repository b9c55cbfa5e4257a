import math
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest

from mixcl_auto.errors import DataError
from mixcl_auto.exporting.bundle_scripts.scan_files import check_placement, find_scans

AFFINE = np.diag([-2.0, -3.0, 4.0, 1.0])
MIRRORED = np.diag([2.0, -3.0, 4.0, 1.0])


def put_scan(
    path: Path, sform: np.ndarray | None = AFFINE, qform: np.ndarray | None = AFFINE, sform_code: int = 2
) -> Path:
    """Small; a matrix that is absent gets the code 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(np.zeros((5, 4, 3), np.int16), AFFINE)
    image.set_qform(qform, 0 if qform is None else 1)
    image.set_sform(sform, 0 if sform is None else sform_code)
    nibabel.save(image, path)
    return path


def test_scans_are_sorted_and_nothing_else_is_taken(tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    expected = [str(put_scan(scans / name)) for name in ("a.nii", "b.c.nii.gz", "d.nii.gz")]
    for name in ("e.nii.gz.tmp", ".hidden.nii.gz", "notes.txt", "nii"):
        (scans / name).touch()
    (scans / "folder.nii").mkdir()
    assert find_scans(str(scans), str(tmp_path / "labels")) == expected


@pytest.mark.parametrize("output", ["scans", "scans/labels", "scans/../scans", "link"])
def test_label_maps_among_the_scans_are_refused(tmp_path: Path, output: str) -> None:
    scan = put_scan(tmp_path / "scans" / "a.nii.gz")
    (tmp_path / "link").symlink_to(scan.parent)
    with pytest.raises(DataError, match=r"would lie among the scans and replace them; .*--output_dir"):
        find_scans(str(scan.parent), str(tmp_path / output))


def test_label_maps_where_a_linked_scan_lies_are_refused(tmp_path: Path) -> None:
    scan = put_scan(tmp_path / "originals" / "a.nii.gz")
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "a.nii.gz").symlink_to(scan)
    with pytest.raises(DataError, match="replace them"):
        find_scans(str(tmp_path / "scans"), str(tmp_path / "originals"))
    assert find_scans(str(tmp_path / "scans"), str(tmp_path / "originals" / "labels"))


def test_two_scans_of_one_label_map_are_refused(tmp_path: Path) -> None:
    for name in ("a.nii", "a.nii.gz"):
        put_scan(tmp_path / "scans" / name)
    with pytest.raises(DataError, match=r"a\.nii and a\.nii\.gz would give one label map"):
        find_scans(str(tmp_path / "scans"), str(tmp_path / "labels"))


def test_an_absent_or_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"scans: no such folder; give .*--dataset_dir"):
        find_scans(str(tmp_path / "scans"), str(tmp_path / "labels"))
    (tmp_path / "scans").mkdir()
    with pytest.raises(DataError, match="scans: no scans in it"):
        find_scans(str(tmp_path / "scans"), str(tmp_path / "labels"))


@pytest.mark.parametrize(
    ("sform", "qform"),
    [(AFFINE, AFFINE), (AFFINE, None), (None, AFFINE), (AFFINE + 0.1 * np.eye(4, k=3), AFFINE)],
)
def test_one_placement_is_taken(tmp_path: Path, sform: np.ndarray | None, qform: np.ndarray | None) -> None:
    check_placement(put_scan(tmp_path / "a.nii.gz", sform, qform))


@pytest.mark.parametrize(
    ("sform", "qform", "message"),
    [
        (None, None, r"does not tell the orientation \(qform_code and sform_code are 0\)"),
        (AFFINE, MIRRORED, "sform and qform put voxels up to 16 mm apart"),
        (AFFINE + np.eye(4, k=3), AFFINE, "up to 1 mm apart"),
    ],
)
def test_doubtful_placements_are_refused_before_anything_is_segmented(
    tmp_path: Path, sform: np.ndarray | None, qform: np.ndarray | None, message: str
) -> None:
    put_scan(tmp_path / "scans" / "a.nii.gz")
    put_scan(tmp_path / "scans" / "b.nii.gz", sform, qform)
    with pytest.raises(DataError, match=rf"b\.nii\.gz: .*{message}"):
        find_scans(str(tmp_path / "scans"), str(tmp_path / "labels"))


def test_a_placement_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    scan = put_scan(tmp_path / "a.nii")
    data = bytearray(scan.read_bytes())
    struct.pack_into("<f", data, 280, math.nan)  # the first field of srow_x
    scan.write_bytes(data)
    with pytest.raises(DataError, match="contradicts itself"):
        check_placement(scan)
