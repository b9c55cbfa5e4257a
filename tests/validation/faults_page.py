"""The tables of docs/validation.md, from what ``validate`` says of the planted faults.

``PYTHONPATH=tests python tests/validation/faults_page.py`` writes them again; read the difference before you
commit it.
"""

import multiprocessing
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from large_scans import MACHINES, cubes
from planted_faults import FAULTS, UNPRIVILEGED, Plant
from sound_raw_data import RawData, write_sound_raw_data

from mixcl_auto.records.finding import Finding
from mixcl_auto.records.plan import Plan, PreprocessPlan
from mixcl_auto.validation.resources import resource_findings
from mixcl_auto.workflows.validate import validate

PAGE = Path(__file__).parents[2] / "docs" / "validation.md"
START, END = "<!-- faults: written by tests/validation/faults_page.py -->", "<!-- end of faults -->"
_HEAD = "| fault | severity | where | message, with what to do |\n|---|---|---|---|"
_NOBODY = 65534
_VOLATILE = (
    (r"(truncated or damaged|ITK can't read this file) \((?!\d).*?\);", r"\1 (...);"),
    (r"'ä{9,}'", "'...'"),
)
"""Libraries' own words, which differ between their versions, and what is too long to read."""


def rows_of(fault: str, plant: Plant, sound: Path, workspace: Path) -> list[str]:
    """Plant a fault in a copy of the sound workspace and list what is found, a row of the table each."""
    shutil.copytree(sound, workspace)
    raw_data = RawData(workspace / "raw_data")
    plant(raw_data)
    findings = validate_unprivileged(workspace) if fault == UNPRIVILEGED else find(workspace)
    return [row(fault, finding, raw_data.folder) for finding in findings]


def resource_rows(fault: str) -> list[str]:
    plan = Plan(preprocess=PreprocessPlan(spacing_mm=(1.0, 1.0, 1.0)))
    return [row(fault, found) for found in resource_findings(plan, [cubes(1000, 900)], **MACHINES[fault])]


def row(fault: str, finding: Finding, raw_data: Path | None = None) -> str:
    message = finding.message if raw_data is None else finding.message.replace(str(raw_data), "raw_data")
    for pattern, replacement in _VOLATILE:
        message = re.sub(pattern, replacement, message)
    text = message.replace("<", "&lt;").replace("|", "\\|").replace("\n", "<br>")
    where = ", ".join(part for part in (finding.dataset, finding.case) if part)
    return f"| {fault} | {finding.severity} | {where} | {text} |"


def find(workspace: Path) -> tuple[Finding, ...]:
    return validate(workspace, jobs=1).findings


def validate_unprivileged(workspace: Path) -> tuple[Finding, ...]:
    """As a user without rights where this process is the administrator's, to whom nothing is forbidden."""
    if os.getuid() != 0:
        return find(workspace)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder:
        open_to_all = Path(folder) / "workspace"
        shutil.copytree(workspace, open_to_all)
        for path in (open_to_all.parent, open_to_all):
            path.chmod(0o777)
        child = context.Process(target=_send_findings, args=(open_to_all, sender))
        child.start()
        sender.close()
        try:
            findings = receiver.recv()
        finally:
            child.join()
    return tuple(findings)


def _send_findings(workspace: Path, sender: "multiprocessing.connection.Connection") -> None:
    os.setgroups([])
    os.setgid(_NOBODY)
    os.setuid(_NOBODY)
    sender.send(find(workspace))


def documented() -> dict[str, list[str]]:
    """The rows of the page by fault."""
    rows: dict[str, list[str]] = {}
    between = PAGE.read_text(encoding="utf-8").partition(START)[2].partition(END)[0]
    for line in between.splitlines():
        if line.startswith("| ") and not line.startswith("| fault |"):
            rows.setdefault(line.split(" | ")[0].removeprefix("| "), []).append(line)
    return rows


def tables() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "sound"
        write_sound_raw_data(sound / "raw_data")
        for section, faults in FAULTS.items():
            yield f"\n### {section}\n\n{_HEAD}"
            for fault, plant in faults.items():
                yield from rows_of(fault, plant, sound, Path(folder) / fault.replace("/", "_"))
    yield f"\n### Disk and memory\n\n{_HEAD}"
    for fault in MACHINES:
        yield from resource_rows(fault)


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    after = rest.partition(END)[2]
    PAGE.write_text(before + "\n".join([START, *tables(), "", END]) + after, encoding="utf-8")
