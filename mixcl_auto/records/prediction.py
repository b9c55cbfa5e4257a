"""What was predicted of a run's held-out cases."""

from mixcl_auto.records.plan import InferencePlan
from mixcl_auto.records.record import Record


class HeldOutPredictions(Record):
    """``predictions/done.json``: written after each case, so that a stopped prediction goes on."""

    model_sha256: str
    """Of the weights that predicted."""
    inference: InferencePlan
    cases: tuple[str, ...] = ()
    """Whose label maps are there, on both grids."""
