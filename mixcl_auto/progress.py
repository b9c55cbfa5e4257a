"""How long work tells how far it is, without knowing who listens."""

from typing import Protocol


class Progress(Protocol):
    """One task with a known number of units; the command line draws it, tests and libraries may ignore it."""

    def start(self, description: str, total: int, done: int = 0) -> None:
        """Begin a task of ``total`` units of which ``done`` are already there (a resumed run)."""

    def advance(self, units: int = 1, note: str = "") -> None:
        """Say that ``units`` more are done; ``note`` is a short figure such as ``loss 0.31``."""

    def finish(self) -> None:
        """End the task."""


class Silent:
    """A progress that nobody sees."""

    def start(self, description: str, total: int, done: int = 0) -> None:
        """Ignore the start."""

    def advance(self, units: int = 1, note: str = "") -> None:
        """Ignore the step."""

    def finish(self) -> None:
        """Ignore the end."""
