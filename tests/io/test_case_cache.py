import multiprocessing
import pickle

import numpy as np
import pytest

from mixcl_auto.errors import DataError
from mixcl_auto.io.case_cache import cached_key, case_key, open_case
from mixcl_auto.io.case_writer import write_case
from mixcl_auto.io.orientation import ras_geometry
from mixcl_auto.records.case import CachedCase

SHAPE = (70, 41, 9)


def record(key="k", shape=SHAPE):
    return CachedCase(
        id="a",
        key=key,
        patient="p",
        shape=shape,
        spacing_mm=(1.5, 1.5, 2.0),
        source=ras_geometry(shape, (1.0, 1.0, 1.0)),
        label_voxels={0: 1},
    )


def arrays(seed=0, shape=SHAPE):
    generator = np.random.default_rng(seed)
    return {
        "image": generator.integers(-150, 250, shape).astype(np.int16),
        "labels": generator.integers(0, 14, shape).astype(np.uint8),
        "distance": generator.integers(0, 255, shape).astype(np.uint8),
        "foreground": {3: np.array([[1, 2, 3], [69, 40, 8]], np.int16), 12: np.zeros((0, 3), np.int16)},
    }


@pytest.fixture
def folder(tmp_path):
    write_case(tmp_path / "cache" / "a", record(), **arrays())
    return tmp_path / "cache" / "a"


def test_regions_equal_slices_of_what_was_written(folder):
    case, written = open_case(folder), arrays()
    assert case.record == record()
    for lower, upper in [((0, 0, 0), SHAPE), ((5, 6, 2), (69, 30, 9)), ((63, 15, 0), (66, 17, 1))]:
        window = tuple(slice(*bounds) for bounds in zip(lower, upper, strict=True))
        for name in ("image", "labels", "distance"):
            region = getattr(case, name)(lower, upper)
            assert region.dtype == written[name].dtype
            np.testing.assert_array_equal(region, written[name][window])


def test_an_empty_region_is_empty(folder):
    assert open_case(folder).image((3, 3, 3), (3, 5, 6)).shape == (0, 2, 3)


@pytest.mark.parametrize(
    ("lower", "upper"), [((-1, 0, 0), (5, 5, 5)), ((0, 0, 0), (5, 5, 10)), ((4, 0, 0), (3, 5, 5))]
)
def test_regions_outside_the_scan_are_refused(folder, lower, upper):
    with pytest.raises(IndexError, match="leaves case a of shape"):
        open_case(folder).image(lower, upper)


def test_foreground_voxels_come_back(folder):
    foreground = open_case(folder).foreground
    assert foreground[3].dtype == np.int16
    np.testing.assert_array_equal(foreground[3], arrays()["foreground"][3])
    assert foreground[12].shape == (0, 3)


def test_int16_labels_keep_their_values(tmp_path):
    given = arrays() | {"labels": np.full(SHAPE, 300, np.int16)}
    write_case(tmp_path / "a", record(), **given)
    assert open_case(tmp_path / "a").labels((0, 0, 0), (1, 1, 1)).item() == 300


def read_sum(case):
    return int(case.image((0, 0, 0), SHAPE).astype(int).sum())


def test_a_reader_pickles_and_forks_after_use(folder):
    case = open_case(folder)
    expected = read_sum(case)
    assert read_sum(pickle.loads(pickle.dumps(case))) == expected
    for start, processes in (("fork", 2), ("spawn", 1)):
        with multiprocessing.get_context(start).Pool(processes) as pool:
            assert pool.map(read_sum, [case] * 4) == [expected] * 4
            # Else they are ended by SIGTERM, which a fork of a process that used Ray does not heed.
            pool.close()
            pool.join()


def test_writing_again_replaces_the_case(folder):
    write_case(folder, record(key="new", shape=(5, 5, 5)), **arrays(1, (5, 5, 5)))
    assert cached_key(folder) == "new"
    np.testing.assert_array_equal(
        open_case(folder).image((0, 0, 0), (5, 5, 5)), arrays(1, (5, 5, 5))["image"]
    )
    assert [path.name for path in folder.parent.iterdir()] == ["a"]


def test_a_failed_write_leaves_the_older_case_whole(folder, monkeypatch):
    monkeypatch.setattr(np, "savez", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_case(folder, record(key="new"), **arrays(1))
    assert cached_key(folder) == "k"
    assert [path.name for path in folder.parent.iterdir()] == ["a"]


def test_a_folder_without_its_record_is_no_case(folder):
    (folder / "case.json").unlink()
    assert cached_key(folder) is None
    with pytest.raises(DataError, match="no such cached case; run `mixcl_auto plan_and_preprocess` again"):
        open_case(folder)


def test_arrays_that_contradict_the_record_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"case a: image has shape \(70, 41, 9\), the record \(5, 5, 5\)"):
        write_case(tmp_path / "a", record(shape=(5, 5, 5)), **arrays())
    with pytest.raises(DataError, match="image must be int16, got float32"):
        write_case(tmp_path / "a", record(), **(arrays() | {"image": np.zeros(SHAPE, np.float32)}))


@pytest.mark.parametrize("name", ["image.b2nd", "foreground.npz"])
def test_a_damaged_file_is_named(folder, name):
    (folder / name).write_bytes(b"rubbish" * 20)
    case = open_case(folder)
    with pytest.raises(DataError, match=f"{name}: damaged cache file"):
        case.foreground if name.startswith("fore") else case.image((0, 0, 0), SHAPE)


def test_the_key_changes_with_each_of_its_parts():
    keys = {
        case_key("i", "l", "p", "n"),
        case_key("j", "l", "p", "n"),
        case_key("i", "m", "p", "n"),
        case_key("i", "l", "q", "n"),
        case_key("i", "l", "p", "o"),
    }
    assert len(keys) == 5
    assert case_key("i", "l", "p", "n") == case_key("i", "l", "p", "n")


@pytest.mark.parametrize("name", ["image.b2nd", "labels.b2nd", "distance.b2nd", "foreground.npz"])
def test_a_case_that_lacks_a_file_is_not_whole(folder, name):
    assert cached_key(folder) == "k"
    (folder / name).unlink()
    assert cached_key(folder) is None


def test_a_truncated_array_is_not_whole_and_the_error_says_what_to_remove(folder):
    path = folder / "labels.b2nd"
    path.write_bytes(path.read_bytes()[:300])
    assert cached_key(folder) is None
    with pytest.raises(DataError, match=f"remove {folder} and run `mixcl_auto plan_and_preprocess` again"):
        open_case(folder).labels((0, 0, 0), SHAPE)
