"""A table as people read it (Markdown, LaTeX, the page) and as programs do (CSV)."""

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mixcl_auto.io.files import write_text
from mixcl_auto.io.workspace import ReportFolder
from mixcl_auto.metrics.averaging import Interval, Spread
from mixcl_auto.reporting.latex import latex_table

MISSING = "missing"
NONE = "-"
"""Where a figure is not missing but cannot be, such as an interval of one run."""
TICK = "✓"

_MARKDOWN = re.compile(r"[|*`<]|\\(?=[!-/:-@\[-`{-~])")
"""What begins markup, and a backslash before a character that it would escape."""

Value = str | float | int | None


@dataclass(frozen=True)
class Table:
    """The same rows twice: as text to read, and as unrounded values."""

    name: str
    """Of the files."""
    title: str
    note: str
    """What a reader must know: rules, counts, what is missing."""
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    data: tuple[dict[str, Value], ...]
    text_columns: int = 2
    """How many columns from the left hold names rather than figures."""
    block_columns: int = 2
    """How many of these the rows of a block share."""

    def to_markdown(self) -> str:
        """A title, the table and its note; names are escaped, in the note only ``<``, figures not at all."""
        rows = [
            [*map(escape_markdown, row[: self.text_columns]), *row[self.text_columns :]] for row in self.rows
        ]
        frame = pd.DataFrame(rows, columns=[escape_markdown(column) for column in self.columns])
        align = ["left"] * self.text_columns + ["right"] * (len(self.columns) - self.text_columns)
        body = frame.to_markdown(index=False, disable_numparse=True, colalign=align) if self.rows else ""
        title, note = (text.replace("<", r"\<") for text in (self.title, self.note))
        return f"**{title}**\n\n{body}\n\n{note}\n"

    def to_latex(self) -> str:
        """A ``table`` of booktabs with its note below; see `latex_table`."""
        return latex_table(
            self.name,
            self.title,
            self.note,
            self.columns,
            self.rows,
            text_columns=self.text_columns,
            block_columns=self.block_columns,
        )

    def to_csv(self) -> str:
        """The unrounded values; an empty cell is a figure that is missing."""
        text: str = pd.DataFrame(list(self.data)).to_csv(index=False, lineterminator="\n")
        return text


def write_table(folder: ReportFolder, table: Table) -> list[Path]:
    """Write a table in all three forms, each at once."""
    forms = {"md": table.to_markdown(), "csv": table.to_csv(), "tex": table.to_latex()}
    paths = []
    for suffix, text in forms.items():
        paths.append(folder.table(table.name, suffix))
        write_text(paths[-1], text)
    return paths


def remove_table(folder: ReportFolder, name: str) -> None:
    """Remove a table of an earlier report, in all three forms."""
    for suffix in ("md", "csv", "tex"):
        folder.table(name, suffix).unlink(missing_ok=True)


def figure_text(value: float | None, digits: int = 4) -> str:
    """A figure with fixed decimals, or that it is missing."""
    return MISSING if value is None else f"{value:.{digits}f}"


def signed_text(value: float | None, digits: int = 4) -> str:
    """A difference with its sign; one that rounds to zero is +0."""
    if value is None:
        return MISSING
    rounded = round(value, digits)
    return f"{rounded if rounded else 0.0:+.{digits}f}"


def spread_text(found: Spread | None, digits: int = 4) -> str:
    """Mean ± standard deviation; the mean alone for one value."""
    if found is None:
        return MISSING
    mean = figure_text(found.mean, digits)
    return mean if found.deviation is None else f"{mean} ± {figure_text(found.deviation, digits)}"


def interval_text(interval: Interval | None, digits: int = 4) -> str:
    """Both ends with their signs."""
    if interval is None:
        return NONE
    return f"{signed_text(interval.low, digits)} to {signed_text(interval.high, digits)}"


def p_text(p_value: float | None) -> str:
    """A p with three decimals; below 0.001 that it is."""
    if p_value is None:
        return NONE
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def percent_text(fraction: float) -> str:
    """A share of labels as the paper writes it: ``5%``."""
    return f"{100 * fraction:g}%"


def escape_markdown(text: str) -> str:
    """Text that Markdown prints as it is, in a table too; an underscore inside a word means nothing there."""
    return _MARKDOWN.sub(r"\\\g<0>", text.replace("\n", " "))
