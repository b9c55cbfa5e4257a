from pathlib import Path

import pytest
from download_imitations import touch

from mixcl_auto.converters.conversion import Source
from mixcl_auto.converters.kits19 import is_root, read
from mixcl_auto.errors import DataError


def make(repository: Path, numbers=(0, 160), tests=(210, 299), imaging=True) -> Path:
    for number in numbers:
        touch(repository / "data" / f"case_{number:05d}" / "segmentation.nii.gz")
    for number in (*(numbers if imaging else ()), *tests):
        touch(repository / "data" / f"case_{number:05d}" / "imaging.nii.gz")
    touch(repository / "data" / "kits.json", repository / "starter_code" / "get_imaging.py")
    return repository / "data"


def test_cases_with_both_files_are_taken_and_test_cases_are_not(tmp_path):
    data = make(tmp_path)
    found = read(data, Source(tmp_path))
    assert (found.dataset.name, found.dataset.role) == ("KiTS19", "pretrain")
    assert found.dataset.labels == {"kidney": 1, "tumour": 2}
    assert [case.id for case in found.dataset.cases] == ["case_00000", "case_00160"]
    assert found.dataset.cases[0].image == data / "case_00000" / "imaging.nii.gz"
    assert found.dataset.cases[0].label == data / "case_00000" / "segmentation.nii.gz"
    ((reason, cases),) = found.left_out.items()
    assert reason.startswith("no segmentation (the challenge kept those of its test cases")
    assert cases == ("case_00210", "case_00299")


def test_the_repository_without_scans_says_how_to_fetch_them(tmp_path):
    with pytest.raises(
        DataError, match=r"(?s)no case can be used.*starter_code.get_imaging.*case_00000, case_00160"
    ):
        read(make(tmp_path, imaging=False, tests=()), Source(tmp_path))


def test_cases_whose_scan_is_not_fetched_yet_are_left_out(tmp_path):
    data = make(tmp_path, tests=())
    (data / "case_00160" / "imaging.nii.gz").unlink()
    found = read(data, Source(tmp_path))
    assert [case.id for case in found.dataset.cases] == ["case_00000"]
    assert list(found.left_out.values()) == [("case_00160",)]


def test_later_challenges_with_other_labels_are_refused(tmp_path):
    data = make(tmp_path)
    touch(data / "kits23.json")
    with pytest.raises(DataError, match="a later KiTS, which labels cysts too"):
        read(data, Source(tmp_path))


def test_the_folder_of_the_cases_is_the_root(tmp_path):
    assert is_root(make(tmp_path))
    assert not is_root(tmp_path)
