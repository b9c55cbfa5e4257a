"""What ``torchrun`` told this process of itself."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from mixcl_auto.errors import RunError

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


@dataclass(frozen=True)
class Launch:
    """This process's place in the group that a launcher started; the defaults are those of a process alone.

    Attributes:
        rank: of this process among all, from 0.
        count: of all processes.
        local_rank: of this process among those on its machine.
        local_count: of processes on its machine.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1


def read_launch(environment: Mapping[str, str] | None = None) -> Launch:
    """Read torchrun's variables; without them, a process alone.

    Args:
        environment: this process's, if absent.

    Raises:
        RunError: if some are missing, or no whole numbers.
    """
    environment = os.environ if environment is None else environment
    if "RANK" not in environment and "WORLD_SIZE" not in environment:
        return Launch()
    missing = [name for name in _VARIABLES if not environment.get(name, "").isdecimal()]
    if missing:
        raise RunError(
            f"RANK or WORLD_SIZE is set, but not (as a whole number) {', '.join(missing)}: start several "
            "processes by torchrun, which sets them all, or unset RANK and WORLD_SIZE to train in one process"
        )
    return Launch(*(int(environment[name]) for name in _VARIABLES))
