"""Headers whose voxels lie in other files: ``.mhd`` (MetaImage) or ``.nhdr`` (NRRD) with ``.raw``."""

from pathlib import Path

_SUFFIXES = (".mha", ".mhd", ".nrrd", ".nhdr")
_LONGEST_HEADER = 500
"""In lines."""
_ELSEWHERE = (b"data file:", b"datafile:")
"""NRRD's field that names the voxels' files; without it they follow the header."""


def names_other_files(path: Path) -> bool:
    """Whether a file is but the header of voxels that lie elsewhere."""
    if not path.name.lower().endswith(_SUFFIXES):
        return False
    with path.open("rb") as file:
        for _, line in zip(range(_LONGEST_HEADER), file, strict=False):
            text = line.strip().lower()
            if text.startswith(b"elementdatafile"):
                return text.partition(b"=")[2].strip() not in (b"local", b"locale")
            if text.startswith(_ELSEWHERE):
                return True
            if not text:  # ends a header of NRRD; a blank line may stand in one of MetaImage
                return False
    return False
