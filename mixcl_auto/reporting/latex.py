r"""Tables as LaTeX that compiles whatever the names in them, and fits the line.

A table takes the packages booktabs, amssymb and graphicx. It is set in ``\small`` and shrunk to the line
only where it is wider. Rows that share their first cells (target and share of labels) stand under these as a
heading. Many rows become several floats under one number, broken between such blocks where possible; many
columns become panels below one another, each with the names in front.
"""

import re
from collections.abc import Iterable, Sequence

from mixcl_auto.reporting.latex_text import escape_latex

Row = tuple[str, ...]

_MOST_LINES = 38
"""Of a float's rows, so that it leaves room for caption and note on a page of 10 pt."""
_MOST_CHARACTERS = 118
"""Of a row; more would be shrunk below some 6 pt on a page of 345 pt."""
_HEADING_LINES = 1.5
"""Of a block's heading, with the space before it."""
_PACKAGES = "% needs \\usepackage{booktabs}, \\usepackage{amssymb} and \\usepackage{graphicx}"

_PUBLISHED = "Published"
"""What the titles of columns that belong together begin with."""


def latex_table(
    name: str,
    title: str,
    note: str,
    columns: Row,
    rows: Sequence[Row],
    *,
    text_columns: int,
    block_columns: int,
) -> str:
    """A table as one float, or as several that share a number.

    Args:
        name: of the label, ``tab:name``.
        title: of the caption; "Table 1: " in front of it is left to LaTeX.
        note: set below the first part; what stands between backticks is code.
        columns: their titles.
        rows: their cells.
        text_columns: how many columns from the left are names, set to the left.
        block_columns: how many cells from the left rows of a block share; they become its heading.
    """
    caption = escape_latex(re.sub(r"^Table \d+: ", "", title))
    blocks, shared = _blocks(rows, block_columns)
    panels = _panels(columns, rows, range(shared, text_columns), range(text_columns, len(columns)))
    floats = []
    for place, part in enumerate(_parts(blocks, _MOST_LINES / len(panels))):
        head = [f"\\caption{{{caption}.}}", f"\\label{{tab:{name}}}"]
        if place:
            head = ["\\addtocounter{table}{-1}", f"\\caption{{{caption} (continued).}}"]
        floats += [
            "\\begin{table}[htbp]",
            "\\centering",
            *head,
            "\\small\\setlength{\\tabcolsep}{4pt}",
            *(line for panel in panels for line in _tabular(columns, part, panel, text_columns, shared)),
            *([] if place or not note else _note(note)),
            "\\end{table}",
        ]
    return "\n".join([_PACKAGES, *floats]) + "\n"


def _blocks(rows: Sequence[Row], block_columns: int) -> tuple[list[list[Row]], int]:
    """Rows that share their first cells together; of one target where no two rows share as many.

    Returns:
        The blocks, and how many cells in front become a heading.
    """
    for names, shared in ((block_columns, block_columns), (1, 0)):
        blocks: dict[Row, list[Row]] = {}
        for row in rows:
            blocks.setdefault(row[:names], []).append(row)
        if len(blocks) < len(rows):
            return list(blocks.values()), shared
    return [list(rows)], 0


def _panels(columns: Row, rows: Sequence[Row], names: range, figures: range) -> list[list[int]]:
    """Which columns stand side by side: the names and some figures, in panels of about the same width.

    A difference stays with the arm before it, and published figures stay together.
    """
    widths = [max(map(len, cells)) + 2 for cells in zip(columns, *rows, strict=True)]
    units: list[list[int]] = []
    for column in figures:
        title, before = columns[column], columns[column - 1]
        belongs = title == "Diff." or (title.startswith(_PUBLISHED) and before.startswith(_PUBLISHED))
        if units and belongs:
            units[-1].append(column)
        else:
            units.append([column])
    fewest = len(_filled(units, names, widths, _MOST_CHARACTERS))
    limits = range(1, _MOST_CHARACTERS + 1)
    return next(panels for most in limits if len(panels := _filled(units, names, widths, most)) == fewest)


def _filled(
    units: Sequence[Sequence[int]], names: range, widths: Sequence[int], most: int
) -> list[list[int]]:
    """Panels of the names and as many units of columns as so many characters hold, one at least."""
    panels = [list(names)]
    for unit in units:
        if len(panels[-1]) > len(names) and sum(widths[n] for n in (*panels[-1], *unit)) > most:
            panels.append(list(names))
        panels[-1] += unit
    return panels


def _parts(blocks: Iterable[list[Row]], most_lines: float) -> list[list[list[Row]]]:
    """Blocks joined to floats of so many lines at most; a longer block is cut."""
    most = max(1, int(most_lines - _HEADING_LINES))
    pieces = [block[start : start + most] for block in blocks for start in range(0, len(block), most)]
    parts: list[list[list[Row]]] = [[]]
    for piece in pieces:
        lines = sum(len(rows) + _HEADING_LINES for rows in (*parts[-1], piece))
        if parts[-1] and lines > most_lines:
            parts.append([])
        parts[-1].append(piece)
    return parts


def _tabular(
    columns: Row, blocks: Sequence[Sequence[Row]], panel: Sequence[int], text_columns: int, shared: int
) -> list[str]:
    align = "".join("l" if column < text_columns else "r" for column in panel)
    body: list[str] = []
    for place, block in enumerate(blocks):
        body += ["\\addlinespace"] if place else []
        if shared:
            heading = escape_latex(", ".join(block[0][:shared]))
            body.append(f"\\multicolumn{{{len(panel)}}}{{l}}{{\\emph{{{heading}}}}} \\\\")
        body += [_latex_row(row[column] for column in panel) for row in block]
    return [
        "\\par\\smallskip",
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
        f"\\begin{{tabular}}{{{align}}}",
        "\\toprule",
        _latex_row(columns[column] for column in panel),
        "\\midrule",
        *body,
        "\\bottomrule",
        "\\end{tabular}}",
    ]


def _note(note: str) -> list[str]:
    pieces = [escape_latex(piece) for piece in note.split("`")]
    text = "".join(f"\\texttt{{{p}}}" if place % 2 else p for place, p in enumerate(pieces))
    return ["\\par\\smallskip", f"\\parbox{{\\linewidth}}{{\\footnotesize {text}}}"]


def _latex_row(cells: Iterable[str]) -> str:
    """Cells of a row; a bracket or star in front would be an option of the line break before it."""
    text = " & ".join(map(escape_latex, cells))
    return ("{}" if text.startswith(("[", "*")) else "") + text + r" \\"
