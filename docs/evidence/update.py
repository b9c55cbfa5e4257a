"""Bring what ``report`` writes on the study into ``docs/evidence.md``, word by word.

``python docs/evidence/update.py`` makes the reports of the records here, and puts their tables between the
page's markers ``<!-- PLAN NAME -->`` and ``<!-- end -->`` and their figures into ``docs/images``.
"""

import re
import shutil
from pathlib import Path

from mixcl_auto.io.workspace import ReportFolder
from mixcl_auto.workflows.report import report

HERE = Path(__file__).parent
PAGE = HERE.parent / "evidence.md"
IMAGES = HERE.parent / "images"
TABLES = {
    "recipe": ("table1", "findings", "differences", "table2", "budget", "probes"),
    "careful": ("table1", "findings", "table2", "probes"),
    "study": ("table1", "findings", "budget"),
}
FIGURES = ("budget_HN_Organs", "label_efficiency_HN_Organs")


def main() -> None:
    """Update the page and its figures."""
    reports = {plan: report(HERE, plan=plan) for plan in TABLES}
    page = PAGE.read_text(encoding="utf-8")
    for plan, tables in TABLES.items():
        for name in tables:
            page = _replace(page, f"{plan} {name}", _text(reports[plan], name))
    PAGE.write_text(page, encoding="utf-8")
    for name in FIGURES:
        shutil.copyfile(reports["recipe"].figure(f"{name}.svg"), IMAGES / f"evidence_{name}.svg")


def _text(folder: ReportFolder, name: str) -> str:
    path = folder.findings if name == "findings" else folder.table(name, "md")
    return path.read_text(encoding="utf-8").strip()


def _replace(page: str, name: str, text: str) -> str:
    """Put a table between its markers.

    Raises:
        ValueError: if the page does not hold them once.
    """
    marked = re.compile(f"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    page, found = marked.subn(lambda markers: f"{markers[1]}\n{text}\n\n{markers[2]}", page)
    if found != 1:
        raise ValueError(f"{PAGE} must hold <!-- {name} --> ... <!-- end --> once, got {found}")
    return page


if __name__ == "__main__":
    main()
