import os
import signal

import pytest

from mixcl_auto.engines.call import Call
from mixcl_auto.engines.engine import Resources
from mixcl_auto.engines.open_engine import open_engine
from mixcl_auto.engines.ray_engine import RayEngine
from mixcl_auto.errors import RunError

ray = pytest.importorskip("ray")


def test_an_embedded_ray_is_started_and_shut_down_and_leaves_the_callers_handler(monkeypatch):
    monkeypatch.setattr("mixcl_auto.engines.open_engine.available_cores", lambda: 3)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # not for an embedded one

    def handler(number, frame):
        pass

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with open_engine("ray") as engine:
            assert signal.getsignal(signal.SIGTERM) is handler
            assert engine.capacity(Resources(1)) == 3
            engine.submit(Call(abs, -4, "four"), Resources(2, memory_bytes=2**60))
            assert engine.wait(60).value == 4
            assert ray.is_initialized()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not ray.is_initialized()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "host:port"])
def test_an_address_that_nobody_answers_at_is_refused_at_once(address):
    with pytest.raises(
        RunError, match=rf"Ray can't be reached at {address}: .*; check that the cluster runs"
    ):
        RayEngine(address=address)
    assert not ray.is_initialized()
