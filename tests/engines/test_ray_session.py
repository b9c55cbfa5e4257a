import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from processes import wait_until

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


CONNECT = """\
import sys
from mixcl_auto.engines.engine import Resources
from mixcl_auto.engines.ray_engine import RayEngine

with RayEngine(address=sys.argv[1]) as engine:
    print("runs at once:", engine.capacity(Resources()))
"""


@contextmanager
def running_cluster(home: Path) -> Iterator[str]:
    """A cluster of one core started by Ray's own command, with the token in ``home``; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    options = ["--head", "--block", "--port", address.rpartition(":")[2], "--num-cpus", "1"]
    command = [str(Path(sys.executable).with_name("ray")), "start", *options, "--include-dashboard", "false"]
    environment = {**without_token(), "HOME": str(home)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    ) as ray:
        try:
            wait_until(lambda: answers(address))
            yield address
        finally:
            ray.terminate()


def answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0


def without_token() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}


def test_a_cluster_that_asks_for_a_token_gets_the_one_of_this_machine(tmp_path):
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("5a" * 32)
    with running_cluster(tmp_path) as address:
        command = [sys.executable, "-c", CONNECT, address]
        environment = {**without_token(), "HOME": str(tmp_path)}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=90, check=False
        )
    assert done.stdout == "runs at once: 1\n", done.stderr
