"""Which scans a bundle segments, and which it refuses before it writes anything."""

from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from mixcl_auto.errors import DataError

_ENDINGS = (".nii", ".nii.gz")
_TOLERANCE_VOXELS = 0.25


def find_scans(dataset_dir: str, output_dir: str) -> list[str]:
    """The NIfTI files of a folder, sorted; hidden ones and subfolders are passed over.

    Raises:
        DataError: if there are none, if their label maps would replace a scan or each other, or as
            ``check_placement``.
    """
    folder = Path(dataset_dir)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the scans' folder as --dataset_dir")
    scans = sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".") and path.name.endswith(_ENDINGS)
    )
    if not scans:
        raise DataError(f"{folder}: no scans in it (.nii or .nii.gz, in small letters)")
    _check_output(folder, Path(output_dir), scans)
    _check_names(scans)
    for scan in scans:
        check_placement(scan)
    return [str(scan) for scan in scans]


def check_placement(scan: Path) -> None:
    """See that a header places the voxels, and in one way only.

    Readers choose differently between two placements that disagree, and guess differently where there is
    none: left may become right.

    Raises:
        DataError: if not.
    """
    header: Any = nibabel.load(scan).header
    sform, qform = header.get_sform(coded=True)[0], header.get_qform(coded=True)[0]
    if sform is None and qform is None:
        raise DataError(
            f"{scan}: the header does not tell the orientation (qform_code and sform_code are 0); write the "
            "true one into it"
        )
    if sform is None or qform is None:
        return
    shape = (*header.get_data_shape(), 1, 1)[:3]
    corners = np.array([[*corner, 1] for corner in product(*((0, size - 1) for size in shape))])
    apart_mm = float(np.abs(corners @ (sform - qform).T).max())
    if not apart_mm <= _TOLERANCE_VOXELS * min(header.get_zooms()[:3]):
        raise DataError(
            f"{scan}: the header contradicts itself: sform and qform put voxels up to {apart_mm:.3g} mm "
            "apart; write the true one into both"
        )


def _check_output(folder: Path, output: Path, scans: Sequence[Path]) -> None:
    """A label map has its scan's name, and would replace it in the same folder."""
    place = output.resolve()
    if place.is_relative_to(folder.resolve()) or any(scan.resolve().parent == place for scan in scans):
        raise DataError(
            f"{output}: the label maps would lie among the scans and replace them; give a folder outside "
            f"{folder} as --output_dir"
        )


def _check_names(scans: Sequence[Path]) -> None:
    counts = Counter(scan.name.removesuffix(".gz").removesuffix(".nii") for scan in scans)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise DataError(
            f"{scans[0].parent}: {twice[0]}.nii and {twice[0]}.nii.gz would give one label map; rename or "
            "remove one of them"
        )
