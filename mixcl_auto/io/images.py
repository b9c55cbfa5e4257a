"""Medical images on disk: the one place that knows SimpleITK's axis order and physical space.

Outside this module arrays are (x, y, z) in RAS+: index 0 grows towards the patient's right, index 1 towards
anterior, index 2 towards superior. ITK's files have axes (i, j, k) of any orientation, its arrays come as
(k, j, i), and its physical space is LPS.
"""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixcl_auto.errors import DataError
from mixcl_auto.io.declared_size import declared_bytes, refuse_lying_header
from mixcl_auto.io.detached import names_other_files, voxel_place
from mixcl_auto.io.dicom import choose_series, read_series
from mixcl_auto.io.dicom_files import is_dicom_file
from mixcl_auto.io.files import check_readable, file_sha256, replacing
from mixcl_auto.io.itk import (
    Array,
    FileContent,
    check_complete,
    header_geometry,
    itk_errors,
    nifti_bytes,
    sitk,
)
from mixcl_auto.io.metaimage import check_compressed, is_metaimage
from mixcl_auto.io.nifti import compress, is_nifti, nifti_values
from mixcl_auto.io.nifti_header import check_header, header_note
from mixcl_auto.io.orientation import (
    contiguous_copy,
    from_ras,
    ras_geometry,
    ras_shape,
    ras_spacing_mm,
    ras_view,
    to_ras,
)
from mixcl_auto.io.voxel_values import image_values, label_values
from mixcl_auto.records.case import Geometry

_HASHED_SLICES = 4
"""Copied at once: they stay in the CPU's cache, which is five times as fast as a copy of the whole."""
_PAIR_ENDINGS = (".hdr", ".img", ".img.gz")


@dataclass(frozen=True)
class Volume:
    """A scan or label map in memory with the grid that it came from."""

    array: Array
    """(x, y, z) in RAS+, C-contiguous unless asked for otherwise."""
    spacing_mm: tuple[float, float, float]
    """In the order of ``array``'s axes."""
    geometry: Geometry
    """The file's own grid."""


def read_image(path: Path) -> Volume:
    """Read a scan in any format that ITK reads, or the DICOM series of a folder.

    Returns:
        int16 where all values are integers that fit, else float32. A fourth axis of length 1 is dropped.

    Raises:
        DataError: as ``read_file``.
    """
    content = read_file(path)
    return volume_of(content, image_values(content.values_ijk))


def read_labels(path: Path) -> Volume:
    """Read a label map.

    Returns:
        uint8, or int16 where a label exceeds 255.

    Raises:
        DataError: as ``read_image``, and if a value is not an integer from 0 to 32767.
    """
    content = read_file(path)
    return volume_of(content, label_values(content.values_ijk, path))


def write_labels(path: Path, labels_ras: Array, geometry: Geometry) -> None:
    """Write a label map on a source file's grid, restoring orientation, spacing, origin and direction.

    Raises:
        DataError: if the array does not have the shape of that grid.
    """
    if labels_ras.shape != ras_shape(geometry):
        raise DataError(
            f"{path}: the label map has shape {labels_ras.shape}, but the source grid has "
            f"{ras_shape(geometry)} in RAS order; predict the case again"
        )
    _write(path, from_ras(labels_ras, geometry), geometry)


def write_image(
    path: Path, array_ras: Array, spacing_mm: tuple[float, float, float], geometry: Geometry | None = None
) -> None:
    """Write a RAS array, on the grid of a source file where one is given, else on a plain RAS grid at 0."""
    grid = geometry or ras_geometry(array_ras.shape, spacing_mm)
    _write(path, from_ras(array_ras, grid), grid)


def read_file(path: Path, series: str | None = None, *, hashed: bool = False) -> FileContent:
    """Read a file of one 3-D channel, or a DICOM series; a fourth axis of length 1 is dropped.

    Args:
        path: a file, or a folder with DICOM slices in it or below it.
        series: which series of the folder, as ``choose_series`` takes it.
        hashed: whether ``sha256`` is wanted.

    Raises:
        DataError: if it is missing, empty, truncated, unreadable, or not one 3-D channel; for a folder as
            ``choose_series`` and ``read_series``.
    """
    if path.is_dir():
        chosen, note = choose_series(path, series)
        return read_series(chosen, hashed=hashed, note=note)
    geometry = read_geometry(path, series)
    if not is_nifti(path):
        values = _itk_values(path, geometry)
        return FileContent(values, geometry, _sha256(path, values) if hashed else "")
    data = path.read_bytes()
    flat = nifti_values(data, math.prod(geometry.size), path)
    values = _itk_values(path, geometry) if flat is None else flat.reshape(geometry.size, order="F")
    sha256 = hashlib.sha256(data).hexdigest() if hashed else ""
    return FileContent(values, geometry, sha256, header_note(path, geometry))


def read_geometry(path: Path, series: str | None = None) -> Geometry:
    """The grid of a file of one 3-D channel, or of a DICOM series, from headers alone.

    Raises:
        DataError: if it is missing, empty, unreadable, or not one 3-D channel; for a folder as
            ``choose_series``.
    """
    if path.is_dir():
        return choose_series(path, series)[0].geometry
    _check_file(path)
    if series is not None:
        raise DataError(f"{path}: series {series} was asked for, but this is a file; give the series' folder")
    reader = _header(path)
    _check_axes(reader.GetSize(), reader.GetNumberOfComponents(), path)
    if not np.isfinite([*reader.GetSpacing(), *reader.GetOrigin(), *reader.GetDirection()]).all():
        raise DataError(
            f"{path}: the header places the voxels nowhere (spacing, origin or direction are no numbers); "
            "write the true ones into it, or export the file again"
        )
    return header_geometry(reader)


def _header(path: Path) -> Any:
    """ITK's reader, which has read the header and no voxel."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    with itk_errors(path, "read"):
        reader.ReadImageInformation()
    return reader


def source_sha256(path: Path) -> str:
    """Hash of a file's bytes; where it is but a header, of these and the voxels that it points to.

    Raises:
        DataError: if those can't be read.
    """
    if not names_other_files(path):
        return file_sha256(path)
    return _sha256(path, _itk_values(path, read_geometry(path)))


def content_sha256(values_ijk: Array, geometry: Geometry) -> str:
    """Hash of voxels and their number type, the same in whatever order of its axes the file has them."""
    voxels = ras_view(values_ijk, geometry).T
    digest = hashlib.sha256(f"{voxels.shape} {voxels.dtype.str}".encode())
    for start in range(0, len(voxels), _HASHED_SLICES):
        digest.update(contiguous_copy(voxels[start : start + _HASHED_SLICES]).data)
    return digest.hexdigest()


def _sha256(path: Path, values_ijk: Array) -> str:
    if not names_other_files(path):
        return file_sha256(path)
    digest = hashlib.sha256(path.read_bytes())
    digest.update(np.ascontiguousarray(values_ijk.T).data)
    return digest.hexdigest()


def _check_file(path: Path) -> None:
    check_readable(path)
    if is_dicom_file(path):
        raise DataError(
            f"{path}: this is a single DICOM file; for a scan give the folder that holds its series, for a "
            "label map a NIfTI, NRRD or MetaImage file"
        )
    if is_nifti(path):
        check_header(path)
    voxel_place(path)
    if path.name.lower().endswith(_PAIR_ENDINGS):
        raise DataError(
            f"{path}: pairs of .hdr and .img are not read, since ITK fills a truncated one with zeros; "
            "convert them to .nii.gz"
        )


def _check_axes(size: tuple[int, ...], channels: int, path: Path) -> None:
    if channels != 1:
        raise DataError(
            f"{path}: the image has {channels} values per voxel, one is needed; write one channel"
        )
    if min(size) < 1:
        raise DataError(
            f"{path}: the header gives {' x '.join(map(str, size))} voxels; export the file again"
        )
    if len(size) != 3 and not (len(size) == 4 and size[3] == 1):
        text = " x ".join(map(str, size))
        raise DataError(
            f"{path}: the image has {len(size)} axes ({text}), 3 are needed; write one 3-D channel"
        )


def _itk_values(path: Path, geometry: Geometry) -> Array:
    header = _header(path)
    with itk_errors(path, "read"):
        needed_bytes = declared_bytes(header)
    refuse_lying_header(path, needed_bytes)
    if is_metaimage(path):
        check_compressed(path, needed_bytes)
    with itk_errors(path, "read"):
        values: Array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return values.reshape(geometry.size[::-1]).transpose(2, 1, 0)


def volume_of(content: FileContent, values_ijk: Array, *, contiguous: bool = True) -> Volume:
    """Turn a file's values into a volume.

    Args:
        content: for its geometry.
        values_ijk: the values, perhaps of another number type than the file's.
        contiguous: whether the array must be C-contiguous; turning the file's fastest axis into the slowest
            takes as long as reading it, which resampling can do without.
    """
    array = to_ras(values_ijk, content.geometry, contiguous=contiguous)
    return Volume(array, ras_spacing_mm(content.geometry), content.geometry)


def _write(path: Path, array_kji: Array, geometry: Geometry) -> None:
    image = sitk.GetImageFromArray(array_kji)
    image.SetSpacing(geometry.spacing_mm)
    image.SetOrigin(geometry.origin_mm)
    image.SetDirection(geometry.direction)
    with replacing(path) as temporary:
        if path.name.endswith(".nii.gz"):
            temporary.write_bytes(compress(nifti_bytes(image, path)))
            return
        with itk_errors(path, "write"):
            sitk.WriteImage(image, str(temporary), useCompression=True)
        if is_nifti(path):
            check_complete(temporary, path, image)
