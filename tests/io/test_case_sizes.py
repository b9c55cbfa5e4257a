import gzip
import os

import pytest

from mixcl_auto.io.case_sizes import image_bytes
from mixcl_auto.records.case import RawCase


def case_of(path):
    return RawCase(id="a", patient="a", image=path, label=None)


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_a_gzip_file_counts_with_what_it_holds(tmp_path, size):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(b"x" * size))
    assert image_bytes(case_of(path)) == max(size, path.stat().st_size)


def test_other_files_and_folders_count_as_they_are(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("one", "b/two"):
        (tmp_path / name).write_bytes(b"x" * 700)
    assert image_bytes(case_of(tmp_path / "one")) == 700
    assert image_bytes(case_of(tmp_path)) == 1400


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.nii.gz")
    assert image_bytes(case_of(tmp_path / "pipe.nii.gz")) == 0


def test_a_missing_scan_and_an_empty_one_count_nothing(tmp_path):
    (tmp_path / "empty").touch()
    assert image_bytes(case_of(tmp_path / "nowhere.nii.gz")) == image_bytes(case_of(tmp_path / "empty")) == 0
