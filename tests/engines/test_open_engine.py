import sys

import pytest
import torch

from mixcl_auto.engines.engine import Resources
from mixcl_auto.engines.local import LocalEngine
from mixcl_auto.engines.open_engine import open_engine, visible_devices
from mixcl_auto.errors import RunError


@pytest.mark.parametrize(
    ("variable", "count", "devices"),
    [
        (None, 2, ("0", "1")),
        ("3,1", 2, ("3", "1")),
        ("GPU-8c1f, GPU-77aa", 2, ("GPU-8c1f", "GPU-77aa")),
        ("0,9", 1, ("0",)),  # the driver stops at the first that is not there
        ("", 0, ()),
        (None, 0, ()),
    ],
)
def test_devices_are_those_that_the_process_may_use(monkeypatch, variable, count, devices):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    if variable is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert visible_devices() == devices


def test_local_has_this_machines_cores_and_devices(monkeypatch):
    monkeypatch.setattr("mixcl_auto.engines.open_engine.available_cores", lambda: 6)
    monkeypatch.setattr("mixcl_auto.engines.open_engine.visible_devices", lambda: ("0",))
    engine = open_engine("local")
    assert isinstance(engine, LocalEngine)
    assert (engine.capacity(Resources(2)), engine.capacity(Resources(1, gpus=1))) == (3, 1)
    assert open_engine("local", jobs=2).capacity(Resources(1)) == 2


def test_wishes_that_contradict_are_refused():
    with pytest.raises(RunError, match="local runs on this machine; leave out the address auto, or use ray"):
        open_engine("local", address="auto")
    with pytest.raises(RunError, match="no engine 'dask'; use local or ray"):
        open_engine("dask")


def test_ray_that_is_not_installed_is_said_to_be_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RunError, match=r"install it with pip install 'mixcl_auto\[ray\]'"):
        open_engine("ray")
