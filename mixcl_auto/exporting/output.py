"""The folder that an export is written into."""

from pathlib import Path

from mixcl_auto.errors import RunError


def check_output(folder: Path, *, force: bool) -> None:
    """Refuse a folder that holds anything, unless its files may be replaced.

    Raises:
        RunError: if it holds something, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: a file; give a folder for the export")
    if force or not folder.is_dir():
        return
    if there := sorted(path.name for path in folder.iterdir()):
        listed = ", ".join(there[:3]) + (", ..." if len(there) > 3 else "")
        raise RunError(
            f"{folder}: not empty (it holds {listed}); choose another folder, or replace files of the same "
            "names with --force"
        )
