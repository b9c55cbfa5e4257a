"""Headers that declare more voxels than their file can hold: ITK would first ask for the memory of all."""

from pathlib import Path
from typing import Any

from mixcl_auto.errors import DataError
from mixcl_auto.io.detached import voxel_place
from mixcl_auto.io.itk import sitk

_BEST_COMPRESSION = 1032
"""Of deflate, which gzip and zlib are: no stretch of bytes becomes longer by more than this factor."""


def declared_bytes(reader: Any) -> int:
    """Bytes of all voxels that an ITK reader, or image, has a header of."""
    voxels = 1
    for size in reader.GetSize():
        voxels *= int(size)
    return voxels * int(sitk.Image([1, 1, 1], reader.GetPixelID()).GetSizeOfPixelComponent())


def refuse_lying_header(path: Path, needed_bytes: int) -> None:
    """See that a file, or the one that it names, can hold as many voxels as its header says.

    Args:
        path: of an image in any format.
        needed_bytes: of all voxels.

    Raises:
        DataError: if it can't, or as ``voxel_place``.
    """
    place = voxel_place(path)
    held_bytes = (path.parent / place.name if place.name else path).stat().st_size
    if needed_bytes <= held_bytes * (1 if place.raw else _BEST_COMPRESSION):
        return
    raise DataError(
        f"{path}: truncated or damaged (the header declares {needed_bytes / 1e9:.3g} GB of voxels, more than "
        "the file can hold); copy or download the file again"
    )
