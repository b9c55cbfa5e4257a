"""A case's scan and label map as ``dataset.json`` describes them; only here is ``label_flips`` obeyed."""

import hashlib
from dataclasses import replace
from pathlib import Path

from mixcl_auto.errors import DataError
from mixcl_auto.io.dicom import choose_series, series_sha256
from mixcl_auto.io.images import Volume, read_file, read_geometry, source_sha256, volume_of
from mixcl_auto.io.itk import FileContent
from mixcl_auto.io.voxel_values import image_values, label_values
from mixcl_auto.records.case import Geometry, RawCase


def read_case_image(case: RawCase, *, hashed: bool = False) -> FileContent:
    """Read a case's scan.

    Raises:
        DataError: as ``read_file``.
    """
    return read_file(case.image, case.series, hashed=hashed)


def read_case_labels(case: RawCase, image: Geometry | None = None, *, hashed: bool = False) -> FileContent:
    """Read a case's label map; with ``label_flips`` on its image's grid instead of its own header's.

    Args:
        case: whose label map.
        image: the image's grid, read from its file where absent.
        hashed: whether ``sha256`` is wanted; it is ``label_sha256``.

    Raises:
        DataError: if there is none, if it can't be read, or if, flipped, it does not have the image's shape.
    """
    path = _label_path(case)
    if path.is_dir():
        raise DataError(f"{path}: a folder, but label maps are files (NIfTI, NRRD, MetaImage); give the file")
    content = read_file(path, hashed=hashed)
    if case.label_flips is None:
        return content
    grid = image or read_geometry(case.image, case.series)
    if content.geometry.size != grid.size:
        raise DataError(
            f"{path}: the label map has {_times(content.geometry.size)} voxels, its image "
            f"{_times(grid.size)}; give the matching pair"
        )
    steps = tuple(slice(None, None, -1 if axis in case.label_flips else 1) for axis in "ijk")
    return replace(
        content,
        values_ijk=content.values_ijk[steps],
        geometry=grid,
        sha256=_flipped_sha256(content.sha256, case.label_flips) if hashed else "",
        note=None,  # its header is not looked at
    )


def image_volume(case: RawCase) -> Volume:
    """A case's scan in RAS; see ``read_image``."""
    content = read_case_image(case)
    return volume_of(content, image_values(content.values_ijk))


def label_volume(case: RawCase) -> Volume:
    """A case's label map in RAS; see ``read_labels`` and ``read_case_labels``."""
    content = read_case_labels(case)
    return volume_of(content, label_values(content.values_ijk, _label_path(case)))


def image_sha256(case: RawCase) -> str | None:
    """Hash of the scan's bytes as a reading reports it; None where it is gone.

    Raises:
        DataError: if a folder no longer holds the series, or holds too little of it, or if a header's voxels
            are gone.
    """
    if case.image.is_dir():
        return series_sha256(choose_series(case.image, case.series)[0])
    return source_sha256(case.image) if case.image.is_file() else None


def label_sha256(case: RawCase) -> str | None:
    """Hash of the label map's bytes and of ``label_flips``; None where it is gone."""
    if case.label is None or not case.label.is_file():
        return None
    sha256 = source_sha256(case.label)
    return sha256 if case.label_flips is None else _flipped_sha256(sha256, case.label_flips)


def _label_path(case: RawCase) -> Path:
    if case.label is None:
        raise DataError(f"case {case.id}: it has no label map; give it in dataset.json")
    return case.label


def _flipped_sha256(sha256: str, flips: str) -> str:
    return hashlib.sha256(f"{sha256} flipped {''.join(sorted(flips))}".encode()).hexdigest()


def _times(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))
