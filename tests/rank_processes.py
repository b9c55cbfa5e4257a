"""Run a function in several processes that form a group on this machine, and give back what each returned."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import multiprocessing


def run_in_ranks(function: Callable[..., Any], count: int, folder: Path, *arguments: object) -> list[Any]:
    """Call ``function(*arguments)`` in ``count`` processes with torchrun's variables; results by rank.

    Results are tensors and plain values; an error in a process fails the test.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    multiprocessing.spawn(_run, (function, count, port, folder, arguments), nprocs=count)
    return [torch.load(folder / f"result_{rank}.pt", weights_only=False) for rank in range(count)]


def _run(
    rank: int,
    function: Callable[..., Any],
    count: int,
    port: int,
    folder: Path,
    arguments: tuple[object, ...],
) -> None:
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    torch.set_num_threads(1)
    torch.save(function(*arguments), folder / f"result_{rank}.pt")
