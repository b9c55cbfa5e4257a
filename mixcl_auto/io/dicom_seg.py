"""DICOM segmentations (SEG) of a series, one segment per organ, for viewers and archives.

Needs highdicom and pydicom, the extra ``dicom``; reading DICOM does not.
"""

import colorsys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixcl_auto import __version__
from mixcl_auto.errors import DataError, RunError
from mixcl_auto.io.dicom_sources import read_source_headers
from mixcl_auto.io.files import replacing
from mixcl_auto.io.orientation import from_ras, ras_shape
from mixcl_auto.io.segment_codes import Code, segment_codes
from mixcl_auto.records.case import Geometry

__all__ = ["refuse_without_highdicom", "write_segmentation"]

_NAME = "mixcl_auto"
_SERIES_NUMBER_OFFSET = 1000
_LONGEST_LABEL = 64


def refuse_without_highdicom() -> None:
    """See that DICOM segmentations can be written.

    Raises:
        RunError: if highdicom or pydicom is not installed.
    """
    try:
        import highdicom.seg  # noqa: F401
    except ImportError as problem:
        raise RunError(
            f"DICOM SEG needs highdicom and pydicom ({problem}); install them with "
            "`pip install 'mixcl_auto[dicom]'`, or write NIfTI"
        ) from None


def write_segmentation(
    path: Path,
    labels_ras: npt.NDArray[np.uint8],
    geometry: Geometry,
    slices: Sequence[Path],
    organs: Mapping[str, int],
    *,
    parameters: Mapping[str, str] | None = None,
) -> None:
    """Write a label map as a binary DICOM segmentation that refers to the series it was made from.

    Every organ is a segment, also one without a voxel, so that a segment's number is the organ's label value
    in every file. Only frames that hold something are stored; where nothing was found at all, each segment
    has one empty frame on the middle slice. Patient and study are those of the series.

    Args:
        path: of the file, ``.dcm``.
        labels_ras: (x, y, z) in RAS.
        geometry: the series' grid.
        slices: the series' files along the grid's third axis.
        organs: name to label value, which count up from 1.
        parameters: of the algorithm, for the file's record of how it was made; no commas.

    Raises:
        DataError: if array, grid and slices don't belong together, or the slices' headers lack what a
            segmentation must repeat.
    """
    if labels_ras.shape != ras_shape(geometry):
        raise DataError(
            f"{path}: the label map has shape {labels_ras.shape}, but the series has {ras_shape(geometry)} "
            "in RAS order; predict the series again"
        )
    labels_kji = from_ras(labels_ras, geometry)
    with _quiet():
        headers = read_source_headers(slices, geometry)
        if not labels_kji.any():
            middle = slice(len(headers) // 2, len(headers) // 2 + 1)
            headers, labels_kji = headers[middle], labels_kji[middle]
        segmentation = _segmentation(headers, labels_kji, organs, parameters or {}, slices[0].parent)
        segmentation.ContentCreatorName = ""  # the standard wants it, if only empty
        with replacing(path) as temporary:
            segmentation.save_as(temporary)


def _segmentation(
    headers: Sequence[Any],
    labels_kji: npt.NDArray[np.uint8],
    organs: Mapping[str, int],
    parameters: Mapping[str, str],
    source: Path,
) -> Any:
    """The data set that is to be saved."""
    import highdicom

    number = headers[0].get("SeriesNumber")
    try:
        return highdicom.seg.Segmentation(
            source_images=headers,
            pixel_array=labels_kji,
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=_descriptions(organs, parameters),
            omit_empty_frames=bool(labels_kji.any()),
            series_instance_uid=highdicom.UID(),
            series_number=_SERIES_NUMBER_OFFSET + max(int(number or 0), 0),
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer=_NAME,
            manufacturer_model_name=_NAME,
            software_versions=__version__,
            device_serial_number="0",
            content_label="SEGMENTATION",
            content_description="Organs segmented by mixcl_auto",
            series_description="Segmentation by mixcl_auto",
            specific_character_set="ISO_IR 192",
        )
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        # The exception's text may repeat a patient's data.
        raise DataError(
            f"{source}: no DICOM SEG can be made from the headers of this series ({type(problem).__name__} "
            "in highdicom); write NIfTI instead"
        ) from None


def _descriptions(organs: Mapping[str, int], parameters: Mapping[str, str]) -> list[Any]:
    """One segment per organ, in the order of their label values."""
    import highdicom
    from pydicom.sr.codedict import codes

    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=_NAME,
        family=codes.cid7162.ArtificialIntelligence,
        version=__version__,
        source=_NAME,
        parameters=dict(parameters) or None,
    )
    return [
        _description(name, value, algorithm)
        for name, value in sorted(organs.items(), key=lambda organ: organ[1])
    ]


def _description(name: str, value: int, algorithm: Any) -> Any:
    import highdicom

    found = segment_codes(name)
    description = highdicom.seg.SegmentDescription(
        segment_number=value,
        segment_label=name.replace("\\", "/")[:_LONGEST_LABEL],
        segmented_property_category=_concept(found.category),
        segmented_property_type=_concept(found.property_type),
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        anatomic_regions=[_concept(found.region)] if found.region else None,
        display_color=highdicom.color.CIELabColor.from_rgb(*_colour(value)),
    )
    if found.side and found.region:
        description.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [_concept(found.side)]
    elif found.side:
        kind = description.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [_concept(found.side)]
    return description


def _concept(code: Code) -> Any:
    import highdicom

    return highdicom.sr.CodedConcept(code.value, "SCT", code.meaning)


def _colour(value: int) -> tuple[float, float, float]:
    """Red, green and blue up to 255; hues a golden section apart, so that no two near values look alike."""
    red, green, blue = colorsys.hsv_to_rgb(value * 0.618034 % 1, 0.65, 0.9)
    return 255 * red, 255 * green, 255 * blue


@contextmanager
def _quiet() -> Iterator[None]:
    """Without pydicom's and highdicom's warnings, which repeat patients' names and other header values."""
    from pydicom import config

    before = config.logger.disabled
    config.logger.disabled = True
    try:
        with warnings.catch_warnings(), config.disable_value_validation():
            warnings.simplefilter("ignore")
            yield
    finally:
        config.logger.disabled = before
