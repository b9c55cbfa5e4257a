"""TensorBoard's copy of ``log.csv``: every value of every row, at the row's step."""

import csv
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mixcl_auto.errors import RunError
from mixcl_auto.io.files import naming
from mixcl_auto.io.workspace import RunFolder
from mixcl_auto.progress import Progress, Silent

logger = logging.getLogger(__name__)

_PREFIX = "events.out.tfevents."
"""What TensorBoard knows its files by; it reads those of a folder in the order of their names."""


def check_tensorboard() -> None:
    """See that events can be written; before hours of training, not after.

    Raises:
        RunError: if the package is not there.
    """
    try:
        import tensorboard.compat.proto.event_pb2
        import tensorboard.summary.writer.record_writer  # noqa: F401
    except ImportError as problem:
        raise RunError(
            f"TensorBoard's events need the package tensorboard ({problem}); install it with "
            "pip install 'mixcl_auto[tensorboard]', or go on without --tensorboard: log.csv and progress.png "
            "hold the same values"
        ) from problem


class EventFile:
    """An event file that follows a log.

    It is made from the log alone, and so can't differ from it: a run that goes back to a checkpoint, or that
    is given events late, starts the file anew from the rows that count. A column is a tag, an empty cell no
    point. The log knows no times: a point's wall time is when it was copied.

    Args:
        log: the run's ``log.csv``, cut to the steps that count; need not exist yet.
        folder: of the events; older event files in it are emptied.
    """

    def __init__(self, log: Path, folder: Path) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._log = log
        self._bytes_read = 0
        self._tags: list[str] = []
        folder.mkdir(parents=True, exist_ok=True)
        older = sorted(folder.glob(f"{_PREFIX}*"))
        for old in older:
            old.write_bytes(b"")  # removed, it would halt a TensorBoard that reads it
        self.path = folder / _next_name(older)
        self._records = RecordWriter(self.path.open("wb"))
        self._write(file_version="brain.Event:2")
        # A TensorBoard that is open forgets what it read in the older file.
        self._write(step=0, session_log={"status": "START"})
        self.catch_up()

    def catch_up(self) -> None:
        """Copy the rows that the log got since the last call.

        Raises:
            OSError: if they can't be written; ``filename`` is that of the events.
        """
        with naming(self.path, self.path):
            for step, *cells in self._new_rows():
                self._write(step=int(step), summary=_summary(self._tags, cells))
            self._records.flush()

    def close(self) -> None:
        """Copy what is left and close the file."""
        self.catch_up()
        with naming(self.path, self.path):
            self._records.close()

    def _new_rows(self) -> list[list[str]]:
        if not self._log.exists():
            return []
        with self._log.open("rb") as file:
            file.seek(self._bytes_read)
            text = file.read()
        self._bytes_read += len(text)
        rows = list(csv.reader(text.decode("utf-8").splitlines()))
        if rows and not self._tags:
            self._tags = rows.pop(0)[1:]
        return rows

    def _write(self, **fields: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._records.write(Event(wall_time=time.time(), **fields).SerializeToString())


def _next_name(older: Sequence[Path]) -> str:
    """A name after those of the older files, whatever the clock says: TensorBoard reads on, never back."""
    seconds = f"{time.time():017.6f}"
    last = older[-1].name.removeprefix(_PREFIX) if older else ""
    if seconds > last:
        return _PREFIX + seconds
    try:
        return f"{_PREFIX}{float(last) + 1e-3:017.6f}"
    except ValueError:  # another program's
        return f"{_PREFIX}{last}.{seconds}"


def _summary(tags: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    """A row of the log, as TensorBoard keeps it."""
    named = zip(tags, cells, strict=True)
    return {"value": [{"tag": tag, "simple_value": float(cell)} for tag, cell in named if cell]}


def _hold_whole_log(folder: RunFolder) -> bool:
    """Whether the events that are there end as the log does."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    with folder.log.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    written = sorted(file for file in folder.events.glob(f"{_PREFIX}*") if file.stat().st_size)
    events = list(RawEventFileLoader(str(written[-1])).Load()) if written else []
    if len(rows) < 2 or not events:
        return False
    (_, *tags), (step, *cells) = rows[0], rows[-1]
    last, wanted = Event.FromString(events[-1]), Event(step=int(step), summary=_summary(tags, cells))
    return bool(last.step == wanted.step and last.summary == wanted.summary)


class EventProgress:
    """A progress that passes everything on, and has the events follow the log meanwhile.

    Events that can't be written end no training: a warning says so, and the next start writes them anew.

    Args:
        listener: whom it tells.
        folder: of the run, whose log is ready when the task starts and has new rows at each advance.
    """

    def __init__(self, listener: Progress, folder: RunFolder) -> None:
        self._listener = listener
        self._folder = folder
        self._events: EventFile | None = None
        self.has_started = False

    def start(self, description: str, total: int, done: int = 0) -> None:
        """Write what the log holds already."""
        self.has_started = True
        with self._giving_up():
            self._events = EventFile(self._folder.log, self._folder.events)
        self._listener.start(description, total, done)

    def advance(self, units: int = 1, note: str = "") -> None:
        """Write the new rows."""
        if self._events is not None:
            with self._giving_up():
                self._events.catch_up()
        self._listener.advance(units, note)

    def finish(self) -> None:
        """Write the rest."""
        if self._events is not None:
            with self._giving_up():
                self._events.close()
        self._listener.finish()

    @contextmanager
    def _giving_up(self) -> Iterator[None]:
        """Write no more events after a failure."""
        try:
            yield
        except OSError as problem:
            self._events = None
            logger.warning(
                "%s: TensorBoard's events can't be written (%s); the training goes on without them, and "
                "log.csv holds the same values",
                problem.filename or self._folder.events,
                problem.strerror,
            )


@contextmanager
def recording_events(
    progress: Progress | None, folder: RunFolder, *, wanted: bool
) -> Iterator[Progress | None]:
    """Give the progress to train with: one that writes TensorBoard's events where they are wanted.

    A finished run does not train; it gets events from its log, if that is still there and they are not.

    Args:
        progress: who listens, if anybody does.
        folder: of the run.
        wanted: whether events are written, by this process.
    """
    if not wanted:
        yield progress
        return
    recorder = EventProgress(progress or Silent(), folder)
    yield recorder
    if not recorder.has_started and folder.log.is_file() and not _hold_whole_log(folder):
        EventFile(folder.log, folder.events).close()
