import os

import pytest

from mixcl_auto.engines.cores import available_cores, control_group_quota, physical_cores


@pytest.mark.parametrize(
    ("text", "quota"), [("150000 100000", 1.5), ("max 100000", None), ("", None), ("5 0", None)]
)
def test_version_2_quota_is_time_over_period(tmp_path, text, quota):
    (tmp_path / "cpu.max").write_text(text)
    assert control_group_quota(tmp_path) == quota


@pytest.mark.parametrize(("microseconds", "quota"), [("400000", 4.0), ("-1", None)])
def test_version_1_quota_is_read_too(tmp_path, microseconds, quota):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{microseconds}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert control_group_quota(tmp_path) == quota


def test_no_control_group_is_no_limit(tmp_path):
    assert control_group_quota(tmp_path / "none") is None


def test_affinity_and_quota_limit_the_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    for quota, cores in [(None, 6), (2.5, 2), (0.5, 1), (64.0, 6)]:
        monkeypatch.setattr("mixcl_auto.engines.cores.control_group_quota", lambda quota=quota: quota)
        assert available_cores() == cores


def test_two_hardware_threads_of_a_core_count_once(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr("mixcl_auto.engines.cores.control_group_quota", lambda: None)
    for number, siblings in enumerate(("0,2", "1,3", "0,2", "1,3")):
        folder = tmp_path / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings)
    assert physical_cores(tmp_path) == 2
    assert physical_cores(tmp_path / "unknown") == 4
