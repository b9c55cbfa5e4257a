"""``scores.csv``: one row per held-out case and organ."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mixcl_auto.errors import DataError
from mixcl_auto.io.files import read_text, write_text
from mixcl_auto.records.names import shown
from mixcl_auto.records.record import describe_mistakes
from mixcl_auto.records.score import OrganScore

COLUMNS = tuple(OrganScore.model_fields)

_EVALUATE = "score the run again with `mixcl_auto evaluate`"


def write_scores(path: Path, scores: Sequence[OrganScore]) -> None:
    """Write scores at full precision; an undefined figure is an empty cell."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(getattr(score, column)) for column in COLUMNS] for score in scores)
    write_text(path, table.getvalue())


def read_scores(path: Path, *, remedy: str = _EVALUATE) -> list[OrganScore]:
    """Read scores back, exactly as written.

    Args:
        path: of the table.
        remedy: what the user should do if it can't be read.

    Raises:
        DataError: if the file is missing or malformed; names the row.
    """
    header, *rows = _rows(path, remedy)
    if tuple(header) != COLUMNS:
        raise DataError(
            f"{path}: the columns must be {', '.join(COLUMNS)}; got {', '.join(map(shown, header[:20]))}; "
            f"{remedy}"
        )
    return [_score(path, number, row, remedy) for number, row in enumerate(rows, start=2)]


def _rows(path: Path, remedy: str) -> list[list[str]]:
    """The cells of all lines; one empty line where there is none."""
    text = read_text(path, what="table of scores", remedy=remedy)
    try:
        return list(csv.reader(io.StringIO(text))) or [[]]
    except csv.Error as problem:
        raise DataError(f"{path}: the table of scores is damaged ({problem}); {remedy}") from None


def _score(path: Path, number: int, row: list[str], remedy: str) -> OrganScore:
    where = f"{path}, line {number}"
    if len(row) != len(COLUMNS):
        raise DataError(f"{where}: {len(COLUMNS)} cells expected, got {len(row)}; {remedy}")
    cells = {
        column: None if text == "" and column not in ("case", "patient", "organ") else text
        for column, text in zip(COLUMNS, row, strict=True)
    }
    try:
        return OrganScore.model_validate(cells)
    except ValidationError as problem:
        raise DataError(f"{describe_mistakes(problem, where)}\n{remedy}") from None


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else str(value)
