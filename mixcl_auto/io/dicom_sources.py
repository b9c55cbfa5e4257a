"""Headers of a series' slices as the source of a DICOM segmentation; needs pydicom and highdicom."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixcl_auto.errors import DataError
from mixcl_auto.records.case import Geometry

logger = logging.getLogger(__name__)

_REQUIRED = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "Modality",
    "Rows",
    "Columns",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
)
_MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
"""What the standard wants there, if only empty; anonymised files often lack it."""
_ALSO_KEPT = (
    "SpecificCharacterSet",
    "ImageType",
    "InstanceNumber",
    "Manufacturer",
    "ManufacturerModelName",
    "PatientPosition",
    "PositionReferenceIndicator",
    "SeriesNumber",
    "SliceThickness",
    "SoftwareVersions",
    "SpacingBetweenSlices",
)
"""All else, such as comments, descriptions, institutions and private elements, highdicom never sees: it would
copy some of it."""


def read_source_headers(slices: Sequence[Path], geometry: Geometry) -> list[Any]:
    """Read the slices' headers, check that they lie on the grid, and mend what a segmentation copies of them.

    Args:
        slices: the series' files along the grid's third axis.
        geometry: the series' grid.

    Returns:
        pydicom's data sets without pixels; only in them something is mended, never in the files.

    Raises:
        DataError: if a slice can't be read, lacks what a segmentation must repeat, or is not on the grid.
    """
    import pydicom

    if len(slices) != geometry.size[2]:
        raise DataError(
            f"{len(slices)} files for {geometry.size[2]} slices; the series changed, predict it again"
        )
    headers = []
    for k, file in enumerate(slices):
        try:
            # By force: files without DICOM's preamble are read too.
            header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
        except (OSError, EOFError):
            header = None
        if not header:
            raise DataError(f"{file}: the slice can't be read; the series changed, predict it again")
        _check_header(header, file, k, geometry)
        _leave_out_the_rest(header)
        headers.append(header)
    _harmonise(headers, geometry, slices[0].parent)
    return headers


def _check_header(header: Any, file: Path, k: int, geometry: Geometry) -> None:
    """See that a slice has the identifiers needed and lies where the grid's slice k does.

    Raises:
        DataError: if not.
    """
    lacking = [keyword for keyword in _REQUIRED if header.get(keyword) in (None, "")]
    if lacking:
        raise DataError(
            f"{file}: the header lacks {', '.join(lacking)}, which a DICOM SEG needs; write NIfTI instead"
        )
    normal = np.reshape(geometry.direction, (3, 3))[:, 2]
    along_mm = float(normal @ np.subtract(header.ImagePositionPatient, geometry.origin_mm))
    off_mm = abs(along_mm - k * geometry.spacing_mm[2])
    if off_mm > geometry.spacing_mm[2] / 2 or (header.Columns, header.Rows) != geometry.size[:2]:
        raise DataError(f"{file}: not slice {k + 1} of the grid; the series changed, predict it again")


def _leave_out_the_rest(header: Any) -> None:
    from pydicom.datadict import tag_for_keyword

    kept = {tag_for_keyword(keyword) for keyword in (*_REQUIRED, *_MAY_BE_EMPTY, *_ALSO_KEPT)}
    for tag in list(header.keys()):
        if tag not in kept:
            del header[tag]


def _harmonise(headers: Sequence[Any], geometry: Geometry, source: Path) -> None:
    """Give headers what highdicom reads and files may lack or write in differing roundings."""
    unusable = _unusable(headers[0])
    for keyword in unusable:
        logger.warning("%s: %s is no valid value; it is left empty in the DICOM SEG", source, keyword)
    # Some scanners write the gap, or nothing, where readers of a segmentation expect the distance.
    distance_mm = _decimal(geometry.spacing_mm[2])
    for header in headers:
        for keyword in _MAY_BE_EMPTY:
            if keyword in unusable or keyword not in header:
                setattr(header, keyword, "")
        header.ImageOrientationPatient = headers[0].ImageOrientationPatient
        header.SpacingBetweenSlices = distance_mm
        if not header.get("SliceThickness"):
            header.SliceThickness = distance_mm


def _unusable(header: Any) -> list[str]:
    """Fields whose values highdicom would stumble over, such as a date written as 1950-01-01."""
    from highdicom import PatientSexValues
    from pydicom.valuerep import DA, TM

    kinds = {"PatientBirthDate": DA, "StudyDate": DA, "StudyTime": TM, "PatientSex": PatientSexValues}
    wrong = []
    for keyword, kind in kinds.items():
        try:
            if value := header.get(keyword):
                kind(str(value))
        except ValueError:
            wrong.append(keyword)
    return wrong


def _decimal(value: float) -> str:
    from pydicom.valuerep import format_number_as_ds

    return str(format_number_as_ds(float(value)))
