import platform
import subprocess
import sys

import pytest
import torch

from mixcl_auto.training.host_memory import keep_freed_memory

FAULTS = """
import resource, sys, torch
from mixcl_auto.training.host_memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory(torch.device("cpu"))
def allocate():
    torch.ones(2**26)  # 256 MiB, 65536 pages
for _ in range(3):
    allocate()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    allocate()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(mode: str) -> int:
    run = subprocess.run([sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_is_used_again_without_new_pages():
    assert page_faults("keep") < 1000
    assert page_faults("leave") > 10 * page_faults("keep")


def test_a_device_with_memory_of_its_own_leaves_the_process_as_it_is(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", None)  # would fail
    assert not keep_freed_memory(torch.device("cuda"))


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr("ctypes.CDLL", None)
    assert not keep_freed_memory(torch.device("cpu"))
