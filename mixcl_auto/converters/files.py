"""Finding folders and files of a download, whatever lies around them."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from mixcl_auto.errors import DataError

_DEPTH = 3
"""How far below SOURCE a dataset is looked for."""
_IMAGE_NAME = re.compile(r"(?P<stem>.+)\.(?:nii\.gz|nii|NII\.GZ|NII)")
"""ITK refuses endings of mixed case."""
_ARCHIVE_NAME = re.compile(r".+\.(?:tar|tgz|tar\.\w+|zip|7z|rar)", re.IGNORECASE)


def as_written(path: Path) -> Path:
    """An absolute path without ``..``; symbolic links stay, but for those that a ``..`` leaves."""
    absolute = path.absolute()
    result = Path(absolute.anchor)
    for part in absolute.parts[1:]:
        result = result.resolve().parent if part == ".." else result / part
    return result


def find_folders(top: Path, wanted: Callable[[Path], bool]) -> list[Path]:
    """The wanted folders at or below ``top``, sorted; nothing is looked for inside one that is wanted."""
    return sorted(_search(top, wanted, _DEPTH, set()))


def _search(folder: Path, wanted: Callable[[Path], bool], depth: int, seen: set[Path]) -> Iterator[Path]:
    if folder.resolve() in seen:
        return
    seen.add(folder.resolve())
    if wanted(folder):
        yield folder
    elif depth > 0:
        for inner in folders_in(folder):
            yield from _search(inner, wanted, depth - 1, seen)


def folders_in(folder: Path) -> list[Path]:
    """Folders in a folder, sorted; hidden ones are skipped, and one that may not be opened has none."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_dir())
    except PermissionError:
        return []


def image_files(folder: Path) -> dict[str, Path]:
    """NIfTI files by name without ending, ``.nii.gz`` before ``.nii``; hidden ones (``._*``) are skipped."""
    if not folder.is_dir():
        return {}
    names = sorted((path.name for path in folder.iterdir() if path.is_file()), key=len)
    matches = [_IMAGE_NAME.fullmatch(name) for name in names if not name.startswith(".")]
    return {match["stem"]: folder / match.string for match in matches if match}


def image_stem(name: str) -> str:
    """A file's name without the ending of a NIfTI file."""
    match = _IMAGE_NAME.fullmatch(name)
    return match["stem"] if match else name


def refuse_what_is_no_folder(source: Path) -> None:
    """Check that there is a folder to look into.

    Raises:
        DataError: if it is missing, an archive that was not extracted, another file, or may not be opened.
    """
    if source.is_file():
        if _ARCHIVE_NAME.fullmatch(source.name):
            raise DataError(f"{source}: an archive; extract it ({_extraction(source)}) and give the folder")
        raise DataError(f"{source}: a file; give the folder of the whole dataset")
    if not source.is_dir():
        raise DataError(f"{source}: no such folder; give the folder of the dataset as downloaded")
    try:
        next(source.iterdir(), None)
    except PermissionError:
        raise DataError(f"{source}: the folder may not be opened; check its permissions") from None


def archives_in(folder: Path) -> list[str]:
    """Names of archives in a folder."""
    return sorted(
        path.name
        for path in folder.iterdir()
        if not path.name.startswith(".") and _ARCHIVE_NAME.fullmatch(path.name)
    )


def listing(folder: Path, most: int = 8) -> str:
    """What a folder holds, for an error: the first names, folders with a slash."""
    names = sorted(
        path.name + "/" * path.is_dir() for path in folder.iterdir() if not path.name.startswith(".")
    )
    rest = [f"... and {len(names) - most} more"] if len(names) > most else []
    return "\n".join(f"  {name}" for name in names[:most] + rest) or "  (nothing)"


def _extraction(archive: Path) -> str:
    return f"unzip {archive.name}" if archive.suffix.lower() == ".zip" else f"tar -xf {archive.name}"
