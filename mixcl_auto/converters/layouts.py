"""The public datasets that can be converted, and which of them a folder is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mixcl_auto.converters import btcv, kits19, msd, nih_pancreas
from mixcl_auto.converters.conversion import Conversion, Source
from mixcl_auto.converters.files import archives_in, find_folders, listing, refuse_what_is_no_folder
from mixcl_auto.errors import DataError


@dataclass(frozen=True)
class Layout:
    """How a public dataset lies on disk once it is downloaded and extracted."""

    name: str
    """As the command takes it."""
    title: str
    tree: str
    """What SOURCE should look like, for errors."""
    is_root: Callable[[Path], bool]
    """Whether a folder is the one that ``read`` wants; it may lie below SOURCE."""
    read: Callable[[Path, Source], Conversion]


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("msd", "a task of the Medical Segmentation Decathlon", msd.TREE, msd.is_root, msd.read),
        Layout("kits19", "KiTS19", kits19.TREE, kits19.is_root, kits19.read),
        Layout("nih_pancreas", "NIH Pancreas-CT", nih_pancreas.TREE, nih_pancreas.is_root, nih_pancreas.read),
        Layout("btcv", "BTCV", btcv.TREE, btcv.is_root, btcv.read),
    )
}


def read_source(layout: Layout, source: Source) -> Conversion:
    """Describe the download at SOURCE, or the only one of that layout below it.

    Raises:
        DataError: if there is none or several of that layout, or if it can't be used.
    """
    refuse_what_is_no_folder(source.folder)
    roots = find_folders(source.folder, layout.is_root)
    if not roots:
        raise DataError(_misfit(layout, source.folder))
    if len(roots) > 1:
        found = "\n".join(f"  {root}" for root in roots)
        raise DataError(
            f"{source.folder}: {len(roots)} folders here look like {layout.title}; give one of\n{found}"
        )
    return layout.read(roots[0], source)


def _misfit(layout: Layout, folder: Path) -> str:
    lines = [
        f"{folder}: this is not {layout.title}; expected there",
        *(f"  {line}" for line in layout.tree.splitlines()),
        "and found",
        listing(folder),
    ]
    if archives := archives_in(folder):
        lines.append(f"Extract {', '.join(archives[:3])} first.")
    others = [other for other in LAYOUTS.values() if find_folders(folder, other.is_root)]
    if others:
        looks = " or ".join(other.title for other in others)
        lines.append(f"This looks like {looks}: use `mixcl_auto convert {others[0].name}`.")
    elif above := [parent for parent in folder.parents[:3] if layout.is_root(parent)]:
        lines.append(f"It lies inside one: give {above[0]}.")
    elif find_folders(folder, msd.is_nnunet):
        lines.append(
            "This looks like nnU-Net's layout, which needs no conversion: put or link it into raw_data."
        )
    return "\n".join(lines)
