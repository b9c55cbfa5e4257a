"""Why ``experiment`` gave a run up."""

from mixcl_auto.records.record import Record


class Failure(Record):
    """``failed.json`` of a run."""

    attempts: int
    host: str
    """Where the experiment was."""
    at: str
    """ISO 8601, UTC."""
    message: str
    """The last error, with the end of the log."""


def first_line(message: str) -> str:
    """A message without the end of its log, which it points to."""
    return message.partition("\n")[0].replace("; the end of ", "; see ").removesuffix(":")
