"""How the problems of raw data are shown."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from mixcl_auto.cli.tables import counted, print_table

if TYPE_CHECKING:
    from mixcl_auto.records.finding import Finding


def print_findings(findings: "Iterable[Finding]") -> None:
    """One table, errors first, and how many there are of each kind."""
    ordered = sorted(findings, key=lambda found: (found.severity, found.dataset, found.case or ""))
    if ordered:
        rows = [(found.severity, found.dataset, found.case, found.message) for found in ordered]
        print_table("Problems", ("severity", "dataset", "case", "problem"), rows)
    counts = Counter(found.severity for found in ordered)
    click.echo(f"{counted(counts['error'], 'error')}, {counted(counts['warning'], 'warning')}")
