"""Check that every node of a cluster sees the workspace's files, before tasks rely on it."""

import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from mixcl_auto.engines.engine import Outcome
from mixcl_auto.errors import MixCLError, RunError

_QUESTION = "question"
_PATIENCE_S = 10.0
"""A network file system may show a new file some seconds late."""


class Nodes(Protocol):
    """What can call a function on every node, as the Ray engine does."""

    def on_every_node(self, function: Callable[..., Any], *arguments: Any) -> Mapping[str, Outcome[str, Any]]:
        """What became of the call, by the node's name."""
        ...


def check_shared(engine: Nodes, folder: Path, patience_s: float = _PATIENCE_S) -> None:
    """See that all nodes read what is written here below a folder, and the other way round.

    Args:
        engine: the nodes.
        folder: made if it is not there.
        patience_s: how long a file may take to appear on another machine.

    Raises:
        RunError: naming the first node that does not share the folder.
    """
    token = secrets.token_hex(16)
    probe = folder.absolute() / f".shared_{token}"
    probe.mkdir(parents=True)
    try:
        (probe / _QUESTION).write_text(token)
        for node, outcome in engine.on_every_node(answer, probe, token, patience_s).items():
            if outcome.error is not None:
                raise _not_shared(node, folder, _reason(outcome.error)) from outcome.error
            if not _appears(probe / str(outcome.value), token, patience_s):
                raise _not_shared(node, folder, "what it writes there does not appear here")
    finally:
        shutil.rmtree(probe, ignore_errors=True)


def answer(probe: Path, token: str, patience_s: float) -> str:
    """On a node: read the question and write an answer beside it.

    Returns:
        The answer's file name.

    Raises:
        RunError: if the question is not there.
    """
    if not _appears(probe / _QUESTION, token, patience_s):
        raise RunError("it does not see a file that was written there")
    name = f"answer_{secrets.token_hex(8)}"
    (probe / name).write_text(token)
    return name


def _appears(path: Path, content: str, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            if path.read_text() == content:
                return True
        except OSError:
            pass  # not there yet, or never
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.1)


def _reason(problem: Exception) -> str:
    return str(problem) if isinstance(problem, MixCLError) else f"{type(problem).__name__}: {problem}"


def _not_shared(node: str, folder: Path, reason: str) -> RunError:
    return RunError(
        f"node {node} does not share the folder {folder}: {reason}; the workspace must lie on a file system "
        "that all nodes share, under the same path"
    )
