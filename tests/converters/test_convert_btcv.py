from pathlib import Path

import pytest
from download_imitations import touch

from mixcl_auto.converters.btcv import LABELS, NUMBERS, is_root, read
from mixcl_auto.converters.conversion import Source
from mixcl_auto.errors import DataError


def make(raw_data: Path, images=NUMBERS, labels=NUMBERS) -> Path:
    training = raw_data / "Training"
    touch(*(training / "img" / f"img{number:04d}.nii.gz" for number in images))
    touch(*(training / "label" / f"label{number:04d}.nii.gz" for number in labels))
    touch(*(raw_data / "Testing" / "img" / f"img{number:04d}.nii.gz" for number in range(61, 81)))
    touch(training / "img" / "._img0001.nii.gz", training / "img" / ".DS_Store")
    return training


def test_all_thirty_cases_are_paired_by_number_without_a_word(tmp_path):
    training = make(tmp_path)
    found = read(training, Source(tmp_path))
    assert (found.dataset.name, found.dataset.role) == ("BTCV", "target")
    assert len(found.dataset.cases) == 30
    assert [case.id for case in found.dataset.cases][9:11] == ["img0010", "img0021"]
    assert found.dataset.cases[10].image == training / "img" / "img0021.nii.gz"
    assert found.dataset.cases[10].label == training / "label" / "label0021.nii.gz"
    assert (found.left_out, found.warnings) == ({}, ())


def test_the_thirteen_organs_have_their_numbers():
    assert len(LABELS) == 13
    assert LABELS["spleen"] == 1
    assert LABELS["oesophagus"] == 5
    assert LABELS["portal and splenic vein"] == 10
    assert LABELS["left adrenal"] == 13


def test_another_number_of_cases_is_a_warning_that_names_them(tmp_path):
    found = read(make(tmp_path, images=(1, 2, 41), labels=(1, 2, 41)), Source(tmp_path))
    (warning,) = found.warnings
    assert warning.startswith("BTCV has 30 cases (1 to 10 and 21 to 40), here are 3; not there: 0003, 0004")
    assert "not known: 0041" in warning


def test_files_without_partner_are_left_out(tmp_path):
    found = read(make(tmp_path, images=NUMBERS[1:], labels=NUMBERS[:-1]), Source(tmp_path))
    assert len(found.dataset.cases) == 28
    assert found.left_out == {"no label map": ("img0040",), "no scan": ("label0001",)}


def test_numbers_that_never_meet_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"no case can be used\nleft out, no label map: img0001"):
        read(make(tmp_path, images=(1,), labels=(2,)), Source(tmp_path))


def test_test_scans_alone_are_no_root(tmp_path):
    training = make(tmp_path)
    assert is_root(training)
    assert not is_root(tmp_path / "Testing")
    assert not is_root(tmp_path)
