"""Describing a public dataset as downloaded, so that it can be used where it lies."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from mixcl_auto.converters.conversion import Conversion, LeftOut, Source, dataset_document
from mixcl_auto.converters.files import as_written
from mixcl_auto.converters.layouts import LAYOUTS, read_source
from mixcl_auto.converters.msd import is_root as is_decathlon
from mixcl_auto.engines.cores import available_cores
from mixcl_auto.errors import DataError
from mixcl_auto.io.files import read_text, write_text
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.progress import Progress
from mixcl_auto.records.case import RawDataset, Role
from mixcl_auto.records.names import NAME_RULE, is_plain_name
from mixcl_auto.workflows.inputs import Folder, open_workspace


@dataclass(frozen=True)
class Converted:
    """What was found and written."""

    path: Path
    """The ``dataset.json``."""
    dataset: RawDataset
    left_out: LeftOut
    warnings: tuple[str, ...]
    remarks: tuple[str, ...]
    """What was found out on the way, such as how label maps are flipped."""
    unchanged: bool
    """Whether the same ``dataset.json`` was there already."""


def convert(
    layout: str,
    source: str | Path,
    workspace: Folder = ".",
    *,
    name: str | None = None,
    role: str | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Converted:
    """Write ``raw_data/<Dataset>/dataset.json`` for a public dataset; its files stay where and as they are.

    Args:
        layout: ``msd``, ``kits19``, ``nih_pancreas`` or ``btcv``.
        source: the folder as downloaded and extracted, or one above it.
        workspace: the folder of the project.
        name: of the dataset; as the download is called if absent.
        role: ``pretrain``, ``target`` or ``both``; as the paper uses the dataset if absent.
        jobs: cases at once, where scans must be read; as many as there are cores if absent.
        progress: told of every case that is read.

    Raises:
        DataError: if the folder is not such a dataset, if it can't be used, or if another ``dataset.json`` is
            where the new one would be.
    """
    _check_wishes(layout, name, role)
    space = open_workspace(workspace)
    request = Source(as_written(Path(source)), jobs or available_cores(), progress)
    found = read_source(LAYOUTS[layout], request)
    _refuse_decathlon_in_raw_data(found.root, space)
    wishes = {"name": name or _default_name(found), "role": role or found.dataset.role}
    conversion = replace(found, dataset=found.dataset.model_copy(update=wishes))
    path = space.dataset_json(conversion.dataset.name)
    unchanged = _write(conversion, path, space)
    return Converted(path, conversion.dataset, found.left_out, found.warnings, found.remarks, unchanged)


def _check_wishes(layout: str, name: str | None, role: str | None) -> None:
    if layout not in LAYOUTS:
        raise DataError(f"no layout {layout!r}; there are: {', '.join(LAYOUTS)}")
    if name is not None and not is_plain_name(name):
        raise DataError(f"name {name!r}: {NAME_RULE.format(what='dataset name')}")
    if role is not None and role not in get_args(Role):
        raise DataError(f"role {role!r}: it is one of {', '.join(get_args(Role))}")


def _default_name(found: Conversion) -> str:
    if not is_plain_name(found.dataset.name):
        raise DataError(
            f"{found.root}: a dataset can't be called {found.dataset.name!r}; give it a name (--name NAME)"
        )
    return found.dataset.name


def _refuse_decathlon_in_raw_data(root: Path, workspace: Workspace) -> None:
    """A task's own ``dataset.json`` must not lie where ours would, nor be taken for a dataset's."""
    taken = [path.parent for path in workspace.raw_data.glob("*/dataset.json")]
    if is_decathlon(root) and any(folder.resolve() == root.resolve() for folder in taken):
        elsewhere = workspace.root / "downloads" / root.name
        raise DataError(
            f"{root}: this download lies in raw_data, where its own dataset.json would be taken for the "
            f"description that is to be written; move it elsewhere, such as to {elsewhere}, and convert it "
            "there"
        )


def _write(conversion: Conversion, path: Path, workspace: Workspace) -> bool:
    """Write the description unless the same is there; whether it was."""
    text = dataset_document(conversion, path.parent, workspace)
    if path.exists():
        if _same_json(read_text(path, what="dataset description", remedy="remove it"), text):
            return True
        raise DataError(
            f"{path}: there is another dataset.json already; remove it, or give this dataset another name "
            "(--name NAME)"
        )
    write_text(path, text)
    return False


def _same_json(one: str, other: str) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except json.JSONDecodeError:
        return False
