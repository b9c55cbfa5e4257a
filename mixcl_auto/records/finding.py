"""A problem of the raw data."""

from typing import Literal

from mixcl_auto.records.record import Record


class Finding(Record):
    """One thing that validation objects to."""

    severity: Literal["error", "warning"]
    dataset: str
    """Empty for a problem of the machine or of the workspace."""
    case: str | None = None
    """Absent for a problem of the whole dataset."""
    file: str | None = None
    message: str
    """What is wrong and what to do."""
    check: str = ""
    """The check that found it, for grouping; findings of one check in one dataset are of one kind."""
