"""A problem of the raw data."""

from typing import Literal

from mixcl_auto.records.record import Record

_WORDS_OF_ADVICE = 3


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
    """The check that found it."""

    @property
    def kind(self) -> tuple[str, str]:
        """What findings of one kind have in common: the check, and how the advice begins.

        One check may find files that are missing, empty and damaged: each calls for something else. The rest
        of the advice may name a file.
        """
        advice = self.message.partition("; ")[2]
        return self.check or self.message, " ".join(advice.split()[:_WORDS_OF_ADVICE])
