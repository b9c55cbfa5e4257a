"""What a converter makes of a download, and ``dataset.json``, the form in which it is kept."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixcl_auto.errors import DataError
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.progress import Progress
from mixcl_auto.records.case import RawCase, RawDataset

LeftOut = dict[str, tuple[str, ...]]
"""Reason to the cases left out for it."""


@dataclass(frozen=True)
class Source:
    """What the user pointed at."""

    folder: Path
    """Absolute; symbolic links as the user wrote them."""
    jobs: int = 1
    """Processes, where scans must be read."""
    progress: Progress | None = None


@dataclass(frozen=True)
class Conversion:
    """A download understood."""

    root: Path
    """The folder that was read, at or below SOURCE."""
    dataset: RawDataset
    """Under the name it has by default; paths are absolute."""
    about: dict[str, str] = field(default_factory=dict)
    """``description``, ``reference`` and ``licence``, as far as the source states them."""
    left_out: LeftOut = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    """What the user should look at."""
    remarks: tuple[str, ...] = ()
    """What was found out on the way."""


def leave_out(left_out: LeftOut, reason: str, case: str) -> None:
    """Note a case under the reason for leaving it out."""
    left_out[reason] = (*left_out.get(reason, ()), case)


def require_cases(cases: Iterable[RawCase], left_out: dict[str, tuple[str, ...]], root: Path) -> None:
    """Refuse a download of which no case can be used.

    Raises:
        DataError: with the reasons for which its cases were left out.
    """
    if not list(cases):
        raise DataError("\n".join([f"{root}: no case can be used", *left_out_lines(left_out)]))


def left_out_lines(left_out: LeftOut) -> list[str]:
    """Which cases were left out, one line per reason."""
    return [f"left out, {reason}: {some(cases)}" for reason, cases in left_out.items()]


def some(names: Iterable[str], most: int = 8) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def dataset_document(conversion: Conversion, folder: Path, workspace: Workspace) -> str:
    """The text of ``dataset.json``; files inside the workspace are named relative to the dataset's folder.

    Args:
        conversion: what to describe.
        folder: the dataset's, where ``dataset.json`` will be.
        workspace: a download inside it can move with it, one elsewhere is named by absolute paths.
    """
    dataset = conversion.dataset
    left_out = {reason: list(cases) for reason, cases in conversion.left_out.items()}
    document: dict[str, Any] = {
        **conversion.about,
        "channel_names": {"0": dataset.channel_name},
        "labels": {"background": 0, **dataset.labels},
        "role": dataset.role,
        "numTraining": len(dataset.cases),
        **({"left_out": left_out} if left_out else {}),
        "cases": [_case_entry(case, folder, workspace) for case in dataset.cases],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _case_entry(case: RawCase, folder: Path, workspace: Workspace) -> dict[str, str]:
    entry = {"id": case.id, "image": _written_path(case.image, folder, workspace)}
    if case.label is not None:
        entry["label"] = _written_path(case.label, folder, workspace)
    if case.patient != case.id:
        entry["patient"] = case.patient
    if case.series is not None:
        entry["series"] = case.series
    if case.label_flips is not None:
        entry["label_flips"] = case.label_flips
    return entry


def _written_path(path: Path, folder: Path, workspace: Workspace) -> str:
    if not path.is_relative_to(workspace.root.absolute()):
        return str(path)
    relative = os.path.relpath(path, folder.absolute())
    # a symbolic link on the way (raw_data itself, say) turns .. elsewhere
    return relative if (folder / relative).resolve() == path.resolve() else str(path)
