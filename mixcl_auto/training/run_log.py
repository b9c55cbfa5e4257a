"""The two CSV files of a run: what was computed (``log.csv``) and how fast (``timing.csv``).

``log.csv`` is the same to the byte for the same seed, plan, data and threads; timings are kept out of it. A
row's ``step`` is the number of steps done after it, so the first row is 1 and a checkpoint of k steps goes
with k rows.
"""

import csv
import io
import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mixcl_auto.distributed.ranks import ALONE, Ranks
from mixcl_auto.errors import RunError
from mixcl_auto.io.files import naming, write_text

logger = logging.getLogger(__name__)

Value = float | int | Tensor | None


class NonFiniteError(RunError):
    """A loss, one of its terms or the gradient is not finite.

    Attributes:
        step: counted from 1.
        terms: the row of the log.
    """

    def __init__(self, message: str, *, step: int, terms: str) -> None:
        super().__init__(message)
        self.step, self.terms = step, terms


class StepTable:
    """A CSV file with a ``step`` column that is appended to, and cut when a run goes back to a checkpoint.

    Args:
        path: of the file.
        writes: whether this process is the one that writes it; in others nothing happens.
        is_whole: whether it has a row for every step, so that rows that are gone are worth a warning.
    """

    def __init__(self, path: Path, *, writes: bool = True, is_whole: bool = False) -> None:
        self.path = path
        self._warns = is_whole
        self._writes = writes
        self._columns: tuple[str, ...] | None = None

    def cut_after(self, step: int) -> None:
        """Drop the rows beyond ``step`` and an unfinished last line; step 0 starts the file anew.

        Raises:
            RunError: if the file is no such table.
        """
        if not self._writes:
            return
        if step == 0:
            self.path.unlink(missing_ok=True)
            return
        if not self.path.exists():
            if self._warns:
                logger.warning("%s is gone; it goes on from step %d", self.path, step + 1)
            return
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        if not whole:
            self.path.unlink()
            return
        try:
            kept = [line for line in whole[1:] if int(line.split(",", 1)[0]) <= step]
        except ValueError:
            raise RunError(
                f"{self.path}: not a table of steps, or damaged; restore it, or remove {self.path.parent} to "
                "start the run again"
            ) from None
        if self._warns and len(kept) < step:
            logger.warning(
                "%s: %d of the %d rows up to the checkpoint are gone; the run goes on without them",
                self.path,
                step - len(kept),
                step,
            )
        self._columns = tuple(whole[0].strip().split(","))
        write_text(self.path, "".join([whole[0], *kept]))

    def append(self, rows: Sequence[Mapping[str, float | None]]) -> None:
        """Add rows at the end; the first row of a file fixes its columns.

        Raises:
            RunError: if a row has other columns than the file.
        """
        if not rows or not self._writes:
            return
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if self._columns is None:
            self._columns = tuple(rows[0])
            writer.writerow(self._columns)
        for row in rows:
            if tuple(row) != self._columns:
                raise RunError(
                    f"{self.path}: columns changed from {', '.join(self._columns)} to {', '.join(row)}; "
                    "the run was started by another version: start it again under another name"
                )
            writer.writerow([format_value(value) for value in row.values()])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with naming(self.path, self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(text.getvalue())

    def sync(self) -> None:
        """Wait until all rows are on the disk, for a checkpoint that counts on them."""
        if self._writes and self.path.exists():
            with self.path.open("rb") as file:
                os.fsync(file.fileno())


def format_value(value: float | None) -> str:
    """Nine significant digits tell all float32 values apart; an undefined value is an empty cell."""
    if value is None or math.isnan(value):
        return ""
    return str(value) if isinstance(value, int) else f"{value:.9g}"


@dataclass(frozen=True)
class _Pending:
    step: int
    host: dict[str, float | None]
    device_names: tuple[str, ...]
    device_values: Tensor | None
    cases: tuple[str, ...]


class RunLog:
    """``log.csv``, buffered on the device: a flush copies the values of many steps to the host at once.

    Args:
        path: of the file.
        must_be_finite: columns that stop the run when they are not.
        ranks: the processes that train together; they have the same values, and the first one writes.
    """

    def __init__(self, path: Path, *, must_be_finite: Sequence[str], ranks: Ranks = ALONE) -> None:
        self.table = StepTable(path, writes=ranks.is_first, is_whole=True)
        self._ranks = ranks
        self._must_be_finite = tuple(must_be_finite)
        self._pending: list[_Pending] = []

    def add(self, step: int, values: Mapping[str, Value], cases: Sequence[str]) -> None:
        """Keep one row; tensors (0-d) stay on their device until the next flush."""
        tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
        stacked = torch.stack([tensor.detach().float() for tensor in tensors.values()]) if tensors else None
        host = {name: None if isinstance(value, Tensor) else value for name, value in values.items()}
        self._pending.append(_Pending(step, host, tuple(tensors), stacked, tuple(cases)))

    def flush(self) -> dict[str, float | None]:
        """Write what is pending.

        Returns:
            The last row, for those who watch; empty if nothing was pending.

        Raises:
            NonFiniteError: if a value is not finite that must be; the rows are written first.
        """
        pending, self._pending = self._pending, []
        device_rows = [row.device_values for row in pending if row.device_values is not None]
        fetched = iter(torch.cat(device_rows).tolist() if device_rows else ())
        rows = []
        for row in pending:
            values = row.host | {name: next(fetched) for name in row.device_names}
            rows.append({"step": row.step, **values})
        self.table.append(rows)
        for row, values in zip(pending, rows, strict=True):
            self._refuse_non_finite(row, values)
        return rows[-1] if rows else {}

    def _refuse_non_finite(self, row: _Pending, values: Mapping[str, float | None]) -> None:
        checked = [values.get(name) for name in self._must_be_finite]
        if all(value is None or math.isfinite(value) for value in checked):
            return
        terms = ", ".join(
            f"{name} {value:g}" for name, value in values.items() if value is not None and name != "step"
        )
        cases = dict.fromkeys(case for part in self._ranks.gather(row.cases) for case in part)
        raise NonFiniteError(
            f"{self.table.path.parent}: step {row.step} is not finite ({terms}); cases of its batch: "
            f"{', '.join(cases)}. Look at these scans; if they are sound, lower the learning rate or set "
            "precision to fp32, in a run of its own (another --name or plan, or without this folder)",
            step=row.step,
            terms=terms,
        )
