"""How the problems of raw data are shown."""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from mixcl_auto.cli.tables import counted, print_table

if TYPE_CHECKING:
    from mixcl_auto.records.finding import Finding

_SHOWN_OF_A_KIND = 3
"""Findings of one kind in one dataset that are listed where there are more; all are in validation.json."""

Row = tuple[str, str, str, str]


def print_findings(findings: "Iterable[Finding]") -> None:
    """Errors first, then warnings, those of one kind folded; and how many there are of each."""
    findings = list(findings)
    if rows := list(_rows(findings)):
        if sys.stdout.isatty():
            print_table("Problems", ("severity", "dataset", "case", "problem"), rows)
        else:
            _print_lines(rows)
    counts = Counter(found.severity for found in findings)
    click.echo(f"{counted(counts['error'], 'error')}, {counted(counts['warning'], 'warning')}")


def _rows(findings: "Iterable[Finding]") -> Iterator[Row]:
    """A row per finding, in groups of one severity, dataset and kind, in the order in which they came."""
    groups: dict[tuple[str, str, tuple[str, str]], list[Finding]] = defaultdict(list)
    for found in findings:
        groups[found.severity, found.dataset, found.kind].append(found)
    for (severity, dataset, _), group in sorted(groups.items(), key=lambda item: item[0][:2]):
        shown = len(group) if len(group) <= _SHOWN_OF_A_KIND + 1 else _SHOWN_OF_A_KIND
        for found in group[:shown]:
            yield severity, dataset, found.case or "", found.message
        if rest := len(group) - shown:
            yield severity, dataset, "...", f"and {rest} more of this kind; all are in validation.json"


def _print_lines(rows: Iterable[Row]) -> None:
    """One line per problem, for a file or for ``grep``; a message of several lines goes on indented."""
    for severity, dataset, case, message in rows:
        where = ", ".join(part for part in (dataset, case) if part)
        text = message.replace("\n", "\n    ")
        click.echo(f"{severity}: {where}: {text}" if where else f"{severity}: {text}")
