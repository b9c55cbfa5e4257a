"""What a loader worker is drawing, in memory that it shares with its parent: it outlives the worker."""

from multiprocessing.context import ForkContext, SpawnContext

_LENGTH = 2048
"""Bytes; what does not fit of the cases' names is left out."""


class DrawingNote:
    """One sample's number and the cases that it takes, written by a worker and read by its parent.

    Args:
        context: that the worker will be started with.
    """

    def __init__(self, context: ForkContext | SpawnContext) -> None:
        self._memory = context.RawArray("c", _LENGTH)
        self._lines: list[str] = []

    def begin(self, number: int) -> None:
        """The worker draws another sample."""
        self._lines = [str(number)]
        self._write()

    def add(self, case: str) -> None:
        """The sample takes this case, whose voxels are read next."""
        if case not in self._lines[1:]:
            self._lines.append(case)
            self._write()

    def read(self) -> tuple[int | None, tuple[str, ...]]:
        """The number of the sample, absent before the first one; and its cases so far."""
        number, *cases = self._memory.value.decode(errors="replace").split("\n")
        return (int(number) if number else None), tuple(cases)

    def _write(self) -> None:
        self._memory.value = "\n".join(self._lines).encode()[: _LENGTH - 1]
