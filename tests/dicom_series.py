"""Imitation DICOM series, as scanners write them, with a hook for planting faults."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import format_number_as_ds

from mixcl_auto.records.case import Geometry

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
"""Direction of a head-first supine scan whose slices go up: rows towards the left, columns posterior."""


def series_geometry(
    size: tuple[int, int, int],
    *,
    spacing_mm: tuple[float, float, float] = (0.8, 0.9, 2.5),
    origin_mm: tuple[float, float, float] = (-120.5, -98.25, -310.0),
    direction: tuple[float, ...] = AXIAL,
) -> Geometry:
    """A grid for ``write_series``; ``direction`` is row-major, its columns the axes i, j, k in LPS."""
    import SimpleITK

    letters = SimpleITK.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(direction)
    return Geometry(
        size=size, spacing_mm=spacing_mm, origin_mm=origin_mm, direction=direction, orientation=letters
    )


def tilted_direction(axis: str, degrees: float) -> tuple[float, ...]:
    """The direction of an axial scan turned about the patient's axis ``x``, ``y`` or ``z``."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turns = {
        "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }
    return tuple(float(value) for value in np.ravel(turns[axis]))


def write_series(
    folder: Path,
    values_ijk_hu: Any,
    geometry: Geometry,
    *,
    series_uid: str | None = None,
    number: int | None = 1,
    modality: str = "CT",
    sop_class: str = CTImageStorage,
    slope: float | Sequence[float] = 1.0,
    intercept: float | Sequence[float] = -1024.0,
    signed: bool = False,
    transfer_syntax: str = ExplicitVRLittleEndian,
    study_uid: str | None = None,
    frame_of_reference_uid: str | None = None,
    patient_id: str = "imitation",
    name: Callable[[int], str] = "slice_{:04d}.dcm".format,
    edit: Callable[[int, Dataset], Any] | None = None,
) -> list[Path]:
    """Write one file per slice k of the array.

    Args:
        folder: made where it is absent.
        values_ijk_hu: (i, j, k), rows of a slice along j; stored as (HU - intercept) / slope, rounded.
        geometry: where voxels lie; the axis k should be i x j, as readers sort slices along that.
        series_uid: SeriesInstanceUID; a new one where absent, as with the two other UIDs.
        number: SeriesNumber.
        modality: such as CT.
        sop_class: SOPClassUID.
        slope: RescaleSlope, one for all slices or one for each.
        intercept: RescaleIntercept, likewise.
        signed: whether stored values are int16 instead of uint16.
        transfer_syntax: one that pydicom writes as is, or compresses by itself (RLE).
        study_uid: StudyInstanceUID.
        frame_of_reference_uid: FrameOfReferenceUID.
        patient_id: PatientID.
        name: the file name of slice k.
        edit: called with k and the slice's data set before it is written.

    Returns:
        The files in the order of k.
    """
    values = np.asarray(values_ijk_hu)
    uids = [given or generate_uid() for given in (series_uid, study_uid, frame_of_reference_uid)]
    slopes, intercepts = (np.broadcast_to(given, values.shape[2]) for given in (slope, intercept))
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for k in range(values.shape[2]):
        stored = np.rint((values[:, :, k].T - intercepts[k]) / slopes[k])
        dataset = _slice(stored.astype("<i2" if signed else "<u2"), geometry, k)
        dataset.SeriesInstanceUID, dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = uids
        dataset.SOPClassUID, dataset.Modality, dataset.SeriesNumber = sop_class, modality, number
        dataset.RescaleSlope, dataset.RescaleIntercept = _ds(slopes[k]), _ds(intercepts[k])
        dataset.PatientID, dataset.PatientName = patient_id, patient_id
        if edit is not None:
            edit(k, dataset)
        files.append(folder / name(k))
        _save(dataset, files[-1], transfer_syntax)
    return files


def _slice(stored: Any, geometry: Geometry, k: int) -> Dataset:
    axes = np.reshape(geometry.direction, (3, 3)).T
    position = np.array(geometry.origin_mm) + k * geometry.spacing_mm[2] * axes[2]
    dataset = Dataset()
    dataset.SOPInstanceUID = generate_uid()
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = dataset.AcquisitionDate = "20200101"
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = dataset.AcquisitionTime = "120000"
    dataset.AccessionNumber = dataset.ReferringPhysicianName = dataset.StudyID = ""
    dataset.PatientBirthDate = dataset.PatientSex = dataset.PositionReferenceIndicator = ""
    dataset.Manufacturer = "imitation"
    dataset.PatientPosition = "HFS"
    dataset.InstanceNumber = k + 1
    dataset.ImagePositionPatient = [_ds(value) for value in position]
    dataset.ImageOrientationPatient = [_ds(value) for value in (*axes[0], *axes[1])]
    dataset.PixelSpacing = [_ds(geometry.spacing_mm[1]), _ds(geometry.spacing_mm[0])]
    dataset.SliceThickness = _ds(geometry.spacing_mm[2])
    dataset.RescaleType = "HU"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


def _save(dataset: Dataset, path: Path, transfer_syntax: str) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    compressed = transfer_syntax not in ("1.2.840.10008.1.2", ExplicitVRLittleEndian)
    if compressed:
        dataset.compress(transfer_syntax, generate_instance_uid=False)
    else:
        meta.TransferSyntaxUID = transfer_syntax
    dataset.save_as(path, enforce_file_format=True)


def _ds(value: float) -> str:
    return format_number_as_ds(float(value))
