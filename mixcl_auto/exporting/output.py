"""The folder that an export is written into."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mixcl_auto.errors import RunError
from mixcl_auto.exporting.config import FORMAT, Kind
from mixcl_auto.io.files import naming
from mixcl_auto.io.partial_files import partial_path, remove_abandoned, remove_all_abandoned
from mixcl_auto.io.workspace import Workspace

CONFIGS = (Path("config.json"), Path("configs/export.json"))
"""Where an export says what it is; the second is a bundle's."""


def check_output(folder: Path, workspace: Workspace, kind: Kind, *, force: bool) -> None:
    """Refuse a folder of the workspace's own, or one with files, unless these are an export to be replaced.

    Raises:
        RunError: if it is a file, lies where the workspace keeps its data and runs, holds something without
            ``force``, or an export of another kind.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: a file; give a folder for the export")
    _check_place(folder, workspace)
    remove_all_abandoned(folder)
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    there = [name for name in names if name != lock_of(folder).name]
    if there and not force:
        listed = ", ".join(there[:3]) + (", ..." if len(there) > 3 else "")
        raise RunError(
            f"{folder}: not empty (it holds {listed}); choose another folder, or replace an export of "
            "the same kind with --force"
        )
    for config in CONFIGS:
        if (folder / config).exists() and (found := _kind(folder / config)) != kind:
            raise RunError(
                f"{folder / config}: of {found or 'something else'}, which --force does not replace by "
                f"{kind}; choose another folder, or remove this one"
            )


def lock_of(folder: Path) -> Path:
    """The file that keeps two exports into one folder apart: in it, or beside where it will be."""
    folder = folder.resolve()
    return _place(folder) / f".{folder.name}.lock"


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Give a temporary folder to write into; it is moved to ``folder`` if the block succeeds.

    Where a folder is there already its files are replaced. Then the configuration goes first and the new one
    comes last: what an interruption leaves is no export, rather than weights with another's configuration.
    """
    folder = folder.resolve()
    stage = partial_path(_place(folder) / folder.name)
    remove_abandoned(_place(folder) / folder.name)
    stage.mkdir(parents=True)
    try:
        with naming(folder, stage):
            yield stage
        if not folder.exists():
            stage.replace(folder)
            return
        files = [path.relative_to(stage) for path in stage.rglob("*") if path.is_file()]
        for config in CONFIGS:
            (folder / config).unlink(missing_ok=True)
        for file in sorted(files, key=lambda file: file in CONFIGS):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (stage / file).replace(folder / file)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _place(folder: Path) -> Path:
    """Where a folder can be prepared: its own place may be all that may be written."""
    return folder if folder.is_dir() else folder.parent


def _check_place(folder: Path, workspace: Workspace) -> None:
    own = [workspace.raw_data, workspace.preprocessed, workspace.results, workspace.plans]
    datasets = workspace.raw_data.iterdir() if workspace.raw_data.is_dir() else ()
    for reserved in (*own, *datasets):
        if folder.resolve().is_relative_to(reserved.resolve()):
            raise RunError(
                f"{folder}: inside {reserved}, which holds the workspace's own files; choose another folder"
            )


def _kind(config: Path) -> str | None:
    """The kind of the export that a configuration belongs to; none where it belongs to something else."""
    try:
        document: Any = json.loads(config.read_bytes())
    except ValueError:
        return None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        return None
    return str(document.get("kind"))
