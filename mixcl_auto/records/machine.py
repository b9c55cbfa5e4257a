"""What the planner needs to know of the machine."""

from mixcl_auto.records.record import Record


class Accelerator(Record):
    """A GPU."""

    name: str
    memory_gb: float


class Machine(Record):
    """The resources that this process may use."""

    cores: int
    """Hardware threads, after affinity and quota."""
    physical_cores: int
    memory_gb: float | None
    """Absent where it can't be told."""
    accelerators: tuple[Accelerator, ...] = ()
