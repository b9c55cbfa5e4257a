import platform
import subprocess
import sys

import pytest

from mixcl_auto.engines.host_memory import keep_freed_memory

FAULTS = """
import resource, sys, torch
from mixcl_auto.engines.host_memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def step():
    first = torch.ones(2**23)  # 32 MiB, 8192 pages, beside others that are freed with it
    second = first + 1
    return (first * second).relu().sum()
for _ in range(10):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(mode: str) -> int:
    run = subprocess.run([sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_is_used_again_without_new_pages():
    assert page_faults("leave") > 10 * 3 * 8192
    assert page_faults("keep") < 3 * 8192


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr("ctypes.CDLL", None)
    assert not keep_freed_memory()
