"""A table as people read it (Markdown, LaTeX, the page) and as programs do (CSV)."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mixcl_auto.io.files import write_text
from mixcl_auto.io.workspace import ReportFolder

MISSING = "missing"
TICK = "✓"

Value = str | float | int | None

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    TICK: r"\checkmark",
}


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

    def to_markdown(self) -> str:
        """A title, the table and its note; pipes in names are escaped."""
        frame = pd.DataFrame([[_markdown(cell) for cell in row] for row in self.rows], columns=self.columns)
        align = ["left"] * self.text_columns + ["right"] * (len(self.columns) - self.text_columns)
        body = frame.to_markdown(index=False, disable_numparse=True, colalign=align) if self.rows else ""
        return f"**{self.title}**\n\n{body}\n\n{self.note}\n"

    def to_latex(self) -> str:
        """A ``table`` of booktabs; every character that LaTeX gives a meaning is escaped."""
        align = "l" * self.text_columns + "r" * (len(self.columns) - self.text_columns)
        lines = [
            "% needs \\usepackage{booktabs} and \\usepackage{amssymb}",
            "\\begin{table}",
            "\\centering",
            f"\\caption{{{escape_latex(self.title)}. {escape_latex(self.note)}}}",
            f"\\label{{tab:{self.name}}}",
            f"\\begin{{tabular}}{{{align}}}",
            "\\toprule",
            _latex_row(self.columns),
            "\\midrule",
            *(_latex_row(row) for row in self.rows),
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{table}",
        ]
        return "\n".join(lines) + "\n"

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


def escape_latex(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(_LATEX.get(character, character) for character in text)


def figure_text(value: float | None, digits: int = 4) -> str:
    """A figure with fixed decimals, or that it is missing."""
    return MISSING if value is None else f"{value:.{digits}f}"


def signed_text(value: float | None, digits: int = 4) -> str:
    """A difference with its sign; one that rounds to zero is +0."""
    if value is None:
        return MISSING
    rounded = round(value, digits)
    return f"{rounded if rounded else 0.0:+.{digits}f}"


def percent_text(fraction: float) -> str:
    """A share of labels as the paper writes it: ``5%``."""
    return f"{100 * fraction:g}%"


def _markdown(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def _latex_row(cells: tuple[str, ...]) -> str:
    return " & ".join(escape_latex(cell) for cell in cells) + r" \\"
