"""Raw data that lie elsewhere, such as a whole nnUNet_raw: linked into the workspace, never copied."""

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from mixcl_auto.errors import DataError


def link_datasets(raw_data: Path, source: Path, names: Collection[str] = ()) -> list[str]:
    """Make a symbolic link in ``raw_data`` to each dataset of a folder; none is made if one can't be.

    Args:
        raw_data: the workspace's; made where there is none.
        source: a folder of datasets, or one dataset (then the folder holds a ``dataset.json``).
        names: of the datasets to link; all if there are none.

    Returns:
        The names of those that were not linked before.

    Raises:
        DataError: if the folder holds no dataset, or none of those named; if something else has a dataset's
            place; or if no link can be made.
    """
    targets = [folder for folder in _datasets_of(source) if not names or folder.name in names]
    if not targets:
        known = ", ".join(folder.name for folder in _datasets_of(source))
        raise DataError(f"{source}: no dataset {', '.join(names)}; there are: {known}")
    missing = {
        raw_data / folder.name: folder for folder in targets if not _is_same(raw_data / folder.name, folder)
    }
    _refuse_occupied(missing)
    if missing and raw_data.is_symlink():
        raise DataError(
            f"{raw_data} is a link itself (to {raw_data.resolve()}): nothing is written there; remove it, "
            "or use another workspace (-w)"
        )
    for link, target in missing.items():
        _link(link, target)
    return [link.name for link in missing]


def _datasets_of(source: Path) -> list[Path]:
    """The folders with a ``dataset.json``: the folder itself, or those in it, sorted by name; absolute."""
    folder = source.resolve() if ".." in source.parts else source.absolute()
    if not folder.is_dir():
        raise DataError(f"{source}: no such folder; give one that holds datasets, such as an nnUNet_raw")
    if (folder / "dataset.json").is_file():
        return [folder]
    found = sorted(path.parent for path in folder.glob("*/dataset.json"))
    if not found:
        deeper = sorted({path.parents[1].name for path in folder.glob("*/*/dataset.json")})
        hint = (
            f"; did you mean {folder / deeper[0]}?"
            if deeper
            else "; see raw_data_template for what one holds"
        )
        raise DataError(f"{source}: no dataset there (a folder with a dataset.json){hint}")
    return found


def _is_same(link: Path, target: Path) -> bool:
    return link.exists() and link.samefile(target)


def _refuse_occupied(links: Iterable[Path]) -> None:
    if taken := [link for link in links if os.path.lexists(link)]:
        what = [f"{link} -> {link.readlink()}" if link.is_symlink() else str(link) for link in taken]
        raise DataError(
            f"already there, and something else: {', '.join(what)}; remove or rename it, or use another "
            "workspace (-w)"
        )


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(target, target_is_directory=True)
    except OSError as problem:
        raise DataError(
            f"{link}: no symbolic link can be made here ({problem.strerror}); use a workspace (-w) on a file "
            f"system that has them, or put {target} there yourself"
        ) from None
