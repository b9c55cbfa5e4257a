"""The paper's published values as further columns of Tables 1 and 2, clearly marked."""

from collections.abc import Sequence
from dataclasses import replace

from mixcl_auto.reporting.paper_values import ALL_TERMS, paper_ablation, paper_name, paper_row
from mixcl_auto.reporting.table_formats import NONE, Table, Value, figure_text, signed_text

_OTHERS = "No published value applies: the paper has MSD Spleen and BTCV alone"
_OWN = (
    "Published: as printed in the paper (Li, Quan and Zhou, MixCL). Its data split, budget and network "
    "are its own, so that these figures are not comparable to the digit."
)
_MISPRINTED = {
    ("Spleen", 0.5): "Its 0.9453 - 0.9424 is 0.0029, not 0.0019 (Spleen, 50 %).",
    ("BTCV", 0.5): "Its 0.5939 - 0.5851 is 0.0088, not 0.0085 (BTCV, 50 %).",
}


def published_table_1(table: Table) -> Table:
    """Table 1 with what the paper got from scratch and with MixCL, and its printed difference."""
    found = [paper_row(*_cell(values)) for values in table.data]
    data: list[dict[str, Value]] = [
        {
            "published_scratch_dice": row.scratch if row else None,
            "published_mixcl_dice": row.mixcl if row else None,
            "published_difference": row.difference if row else None,
        }
        for row in found
    ]
    cells = [
        (figure_text(row.scratch), figure_text(row.mixcl), signed_text(row.difference))
        if row
        else (NONE,) * 3
        for row in found
    ]
    shown = [_cell(values) for values, row in zip(table.data, found, strict=True) if row]
    misprints = [_MISPRINTED[key] for key in dict.fromkeys(map(_paper_cell, shown)) if key in _MISPRINTED]
    columns = ("Published T.F.S.", "Published Ours", "Published Diff.")
    return _beside(table, columns, cells, data, misprints)


def published_table_2(table: Table) -> Table:
    """Table 2 with the paper's Dice where the same terms were on."""
    found = [
        paper_ablation(*_cell(values), frozenset(term for term in ALL_TERMS if values[term]))
        for values in table.data
    ]
    data: list[dict[str, Value]] = [{"published_dice": value} for value in found]
    cells = [(NONE if value is None else figure_text(value),) for value in found]
    return _beside(table, ("Published Dice",), cells, data, ())


def _beside(
    table: Table,
    columns: tuple[str, ...],
    cells: Sequence[tuple[str, ...]],
    data: Sequence[dict[str, Value]],
    remarks: Sequence[str],
) -> Table:
    """The table with columns on the right; if all of them are empty, a sentence in the note instead."""
    if all(value is None for row in data for value in row.values()):
        known = any(paper_name(str(values["target"])) for values in table.data)
        reason = f"{_OTHERS}, and none at these shares of labels." if known else f"{_OTHERS}."
        return replace(table, note=f"{table.note} {reason}")
    return replace(
        table,
        note=" ".join([table.note, _OWN, *remarks]),
        columns=(*table.columns, *columns),
        rows=tuple((*row, *more) for row, more in zip(table.rows, cells, strict=True)),
        data=tuple(values | more for values, more in zip(table.data, data, strict=True)),
    )


def _cell(values: dict[str, Value]) -> tuple[str, float]:
    return str(values["target"]), float(values["fraction"] or 0)


def _paper_cell(cell: tuple[str, float]) -> tuple[str | None, float]:
    return paper_name(cell[0]), cell[1]
