"""Ray for this process: loaded, and started or connected to."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from mixcl_auto.errors import RunError

_OBJECT_STORE_BYTES = 200 * 2**20
"""Of a Ray for this process alone: tasks and results are small, data lie in files."""

_CONNECT_S = 10.0


def import_ray(oom_retries: int) -> ModuleType:
    """Ray, which is no dependency of the package.

    Args:
        oom_retries: how often Ray runs a task again that it stopped for lack of memory; for ever by default.

    Raises:
        RunError: if it isn't installed.
    """
    # all are read when Ray is loaded; with another mode than Ray's itself no later process could be reached
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if "ray" not in sys.modules and has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_task_oom_retries", str(oom_retries))
    try:
        import ray
        import ray.exceptions
    except ImportError as problem:
        raise RunError(
            "the engine ray needs the package ray; install it with pip install 'mixcl_auto[ray]'"
        ) from problem
    module: ModuleType = ray
    return module


def has_token() -> bool:
    """Whether this machine has a token to show to clusters; those that ask for none do not mind it.

    A cluster asks for one by default, while a process that connects shows one only if it is told to.
    """
    given = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return given or (Path.home() / ".ray" / "auth_token").is_file()


def start_ray(ray: ModuleType, address: str | None, cores: int | None, gpus: int | None) -> None:
    """Connect this process to a cluster, or start a Ray for it alone; see ``RayEngine``.

    Raises:
        RunError: if that fails.
    """
    options: dict[str, Any] = {"address": address}
    if address is not None:
        _refuse_silent(address)
    else:
        options = {
            "address": "local",
            "num_cpus": cores,
            "num_gpus": gpus,
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
        }
    try:
        with _kept_sigterm():
            ray.init(log_to_driver=False, configure_logging=False, **options)
    except Exception as problem:
        if address is not None:
            raise _out_of_reach(address, problem) from problem
        raise RunError(
            f"Ray can't be started here: {first_line(problem)}; see its log in /tmp/ray/session_latest/logs"
        ) from problem


def _refuse_silent(address: str) -> None:
    """Refuse an address that nobody answers at: Ray itself tries for many minutes, deaf to signals."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon:
        return  # a word such as auto, which Ray resolves
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
    except (OSError, ValueError) as problem:
        raise _out_of_reach(address, problem) from problem


def _out_of_reach(address: str, problem: Exception) -> RunError:
    return RunError(
        f"Ray can't be reached at {address}: {first_line(problem)}; check that the cluster runs, that it has "
        "this machine's version of Ray and, where it asks for a token, that this machine has it"
    )


@contextmanager
def _kept_sigterm() -> Iterator[None]:
    """Ray replaces the handler of SIGTERM; give back one that the caller had set."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and before not in (None, signal.SIG_DFL):
            signal.signal(signal.SIGTERM, before)


def first_line(problem: BaseException) -> str:
    """What a problem is, in one line."""
    return next((line.strip() for line in str(problem).splitlines() if line.strip()), type(problem).__name__)
