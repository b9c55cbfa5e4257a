import errno
import gc
import os
import resource
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest

from mixcl_auto.errors import DataError, RunError
from mixcl_auto.io.case_cache import cached_key, is_intact, open_case
from mixcl_auto.io.case_writer import write_case
from mixcl_auto.io.open_cases import OpenCases, is_out_of_files, most_open_cases
from mixcl_auto.io.orientation import ras_geometry
from mixcl_auto.records.case import CachedCase

SHAPE = (5, 6, 7)


class Case:
    def __init__(self):
        self.closed = 0

    def close(self):
        self.closed += 1


@pytest.fixture
def folder(tmp_path):
    generator = np.random.default_rng(0)
    record = CachedCase(
        id="a",
        key="k",
        patient="p",
        shape=SHAPE,
        spacing_mm=(1.5, 1.5, 2.0),
        source=ras_geometry(SHAPE, (1.0, 1.0, 1.0)),
        label_voxels={0: 1},
    )
    write_case(
        tmp_path / "a",
        record,
        image=generator.integers(-150, 250, SHAPE).astype(np.int16),
        labels=generator.integers(0, 14, SHAPE).astype(np.uint8),
        distance=generator.integers(0, 255, SHAPE).astype(np.uint8),
        foreground={3: np.array([[1, 2, 3]], np.int16)},
    )
    return tmp_path / "a"


@contextmanager
def limited_files(count):
    """How many files this process may open; pytest itself opens some after a test."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


@pytest.mark.parametrize(
    ("limit", "cases"), [(1024, 170), (60, 10), (1, 1), (1 << 20, 1024), (resource.RLIM_INFINITY, 1024)]
)
def test_at_most_half_of_the_files_are_those_of_cases(monkeypatch, limit, cases):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert most_open_cases() == cases


def test_the_case_that_was_not_used_for_longest_is_closed(monkeypatch):
    monkeypatch.setattr("mixcl_auto.io.open_cases.most_open_cases", lambda: 2)
    opened, cases = OpenCases(), [Case() for _ in range(4)]
    for index in (0, 1, 0, 2, 0, 3):
        opened.note_use(cases[index])
    assert [case.closed for case in cases] == [0, 1, 1, 0]


def test_cases_that_nobody_has_any_more_take_no_place(monkeypatch):
    monkeypatch.setattr("mixcl_auto.io.open_cases.most_open_cases", lambda: 2)
    opened, kept = OpenCases(), Case()
    opened.note_use(kept)
    for _ in range(9):
        opened.note_use(Case())
    gc.collect()
    opened.note_use(Case())
    assert kept.closed == 0


_READ_ALL = """
import resource, sys
from pathlib import Path
from mixcl_auto.io.case_cache import open_case
resource.setrlimit(resource.RLIMIT_NOFILE, (60, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
cases = [open_case(path) for path in sorted(Path(sys.argv[1]).iterdir())]
def read(case):
    parts = [getattr(case, name)((0, 0, 0), case.shape) for name in ("image", "labels", "distance")]
    return [part.tobytes() for part in parts] + [case.foreground[3].tobytes()]
print(len(cases), all(read(case) == read(cases[0]) for _ in range(2) for case in cases))
print(sum(len(case._opened) for case in cases), sum(case._foreground is not None for case in cases))
"""


def test_more_cases_than_may_be_open_give_their_data_again_and_again(folder, tmp_path):
    pool = tmp_path / "pool"
    pool.mkdir()
    for number in range(40):
        (pool / f"{number:02}").symlink_to(folder, target_is_directory=True)
    command = [sys.executable, "-c", _READ_ALL, str(pool)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["40", "True", "30", "10"], done.stderr


def test_too_many_open_files_are_no_damage(folder):
    case = open_case(folder)
    attempts = {
        "image.b2nd": lambda: case.image((0, 0, 0), SHAPE),
        "foreground.npz": lambda: case.foreground,
        "case.json": lambda: cached_key(folder),
        "b2nd": case.check,
        "sums.json": lambda: is_intact(folder),
    }
    for name, attempt in attempts.items():
        message = rf"{name}: can't be opened.*`ulimit -n \d+`"
        with limited_files(1), pytest.raises(RunError, match=message):
            attempt()
    assert case.image((0, 0, 0), SHAPE).shape == SHAPE
    assert is_intact(folder)


def test_the_last_free_file_being_taken_meanwhile_is_no_damage(folder):
    """The array can be opened, and then ``case.json`` can't."""
    case = open_case(folder)
    case.image((0, 0, 0), SHAPE)
    case.close()
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    with limited_files(free + 1), pytest.raises(RunError, match="too many files are open"):
        case.image((0, 0, 0), SHAPE)


def test_what_failed_for_another_reason_is_not_for_too_many_files(folder):
    assert not is_out_of_files(RuntimeError("no such frame"))
    assert is_out_of_files(OSError(errno.ENFILE, "the whole machine's"))
    (folder / "image.b2nd").unlink()
    with pytest.raises(DataError, match=r"image.b2nd: damaged cache file \(no such file\)"):
        open_case(folder).check()
