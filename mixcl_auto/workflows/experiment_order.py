"""In which order an experiment's units are begun."""

import os
import zlib
from collections.abc import Iterable
from itertools import groupby
from socket import gethostname

from mixcl_auto.workflows.experiment_status import TO_DO, Entry
from mixcl_auto.workflows.experiment_units import GridUnit


def own_turn() -> int:
    """A number that differs between the processes of all machines."""
    return zlib.crc32(f"{gethostname()}:{os.getpid()}".encode())


def in_order(entries: Iterable[Entry], turn: int) -> tuple[GridUnit, ...]:
    """Pre-trainings first, longer units before shorter ones, and of equals first the one whose turn it is.

    So several experiments on one folder begin with different units, and do not race for the same one.
    """
    ranked = sorted(entries, key=_rank)
    order: list[GridUnit] = []
    for _, equals in groupby(ranked, key=_rank):
        units = [entry.unit for entry in equals]
        first = turn % len(units)
        order += units[first:] + units[:first]
    return tuple(order)


def _rank(entry: Entry) -> tuple[bool, int, bool]:
    """What comes first is lowest; of equals what need not be done is last, so that turns count the others."""
    return not entry.unit.is_pretraining, -entry.unit.steps, entry.state not in TO_DO
