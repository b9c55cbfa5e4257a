import sys
from types import SimpleNamespace

from mixcl_auto.planning.machine import accelerators, describe_machine, memory_gb


def test_memory_is_the_smaller_of_machine_and_control_group(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       33554432 kB\nMemFree: 1 kB\n")
    assert memory_gb(meminfo, tmp_path / "none") == 32.0
    (tmp_path / "memory.max").write_text(f"{8 * 2**30}\n")
    assert memory_gb(meminfo, tmp_path) == 8.0
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_gb(meminfo, tmp_path) == 32.0


def test_unknown_memory_is_absent(tmp_path):
    assert memory_gb(tmp_path / "none", tmp_path / "none") is None


def test_devices_are_listed_with_their_memory(monkeypatch):
    device = SimpleNamespace(name="H200", total_memory=139 * 2**30)
    cuda = SimpleNamespace(
        is_available=lambda: True, device_count=lambda: 2, get_device_properties=lambda index: device
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert [(item.name, item.memory_gb) for item in accelerators()] == [("H200", 139.0)] * 2


def test_this_machine_has_a_core():
    machine = describe_machine()
    assert 1 <= machine.physical_cores <= machine.cores
