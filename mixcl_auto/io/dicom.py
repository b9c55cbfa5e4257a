"""DICOM series as scans: which series a folder holds, which one is meant, and its voxels in HU.

Slices are read by ITK's GDCM, each with its own rescale slope and intercept. Values outside the field of view
(PixelPaddingValue, often -2000) stay as they are, as converters to NIfTI leave them: the same scan has the
same voxels in either form, and the intensity window makes air of them.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mixcl_auto.errors import DataError
from mixcl_auto.io.dicom_files import compression_of, refuse_lying_size, refuse_short_pixels
from mixcl_auto.io.dicom_slices import Slice, scan_folder
from mixcl_auto.io.dicom_stack import in_order, stack_geometry, stack_problem
from mixcl_auto.io.itk import Array, FileContent, itk_errors, sitk
from mixcl_auto.io.voxel_values import image_values
from mixcl_auto.records.case import Geometry
from mixcl_auto.records.names import shown

_LARGEST_AXIAL_TILT_DEGREES = 30.0
_LISTED = 12
_HOW_TO_ASK = "for another give its number or UID (`series` in dataset.json, `--series` in predict)"


@dataclass(frozen=True)
class DicomSeries:
    """A series of single-frame slices as its headers describe it."""

    uid: str
    number: int | None
    modality: str
    files: tuple[Path, ...]
    """In slice order, along the normal of the slices (as ITK stacks them)."""
    geometry: Geometry
    """Of the stack; an approximation where there is a ``problem``."""
    problem: str | None = None
    """Why it can't be read as a volume, and what to do."""
    patient_id: str = field(default="", repr=False)
    """Only to tell patients apart; never shown."""

    @property
    def axial(self) -> bool:
        """Whether the slices' normal is within 30 degrees of the body's long axis."""
        along_z = abs(self.geometry.direction[8])
        return along_z >= math.cos(math.radians(_LARGEST_AXIAL_TILT_DEGREES))

    def __str__(self) -> str:
        """Such as ``series 3 (CT, 120 slices of 512 x 512, 0.7 x 0.7 x 2.5 mm)``."""
        i, j, k = self.geometry.size
        spacing = " x ".join(f"{value:.3g}" for value in self.geometry.spacing_mm)
        name = shown(self.uid) if self.number is None else self.number
        slices = "1 slice" if k == 1 else f"{k} slices"
        modality = shown(self.modality) or "no modality"
        return f"series {name} ({modality}, {slices} of {i} x {j}, {spacing} mm)"


def find_series(folder: Path) -> list[DicomSeries]:
    """Every series of slices below a folder, by number and UID; files of other kinds are skipped.

    So are series of pictures: in colours, or without any position. A series of slices that can't be read as a
    volume is among them, with its ``problem``.

    Raises:
        DataError: if there is none.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; check dataset.json and the folder's name")
    slices, damaged = scan_folder(folder)
    groups: dict[str, list[Slice]] = {}
    for found in slices:
        groups.setdefault(found.series_uid, []).append(found)
    scans = [group for group in groups.values() if not all(found.picture for found in group)]
    if not scans:
        raise DataError(f"{folder}: {_nothing(slices, damaged, folder)}")
    series = [_series(group, damaged, folder) for group in scans]
    return sorted(series, key=lambda one: (one.number is None, one.number or 0, one.uid))


def choose_series(folder: Path, wanted: str | None = None) -> tuple[DicomSeries, str | None]:
    """The series that is meant, and what to tell the user about the choice.

    Args:
        folder: searched with all folders below it.
        wanted: a SeriesInstanceUID or SeriesNumber. Where absent, the largest axial series is taken: CT
            before other modalities, then most slices, then most voxels, then the UID.

    Returns:
        The series, and a note where there were several to choose from.

    Raises:
        DataError: if there is none, if the wanted one is not there or not the only one, if it was not said
            which of several patients is meant, or if the series is no volume (see docs/dicom.md).
    """
    series = find_series(folder)
    chosen = _largest(series, folder) if wanted is None else _asked_for(series, wanted, folder)
    if chosen.problem is not None:
        others = "" if len(series) == 1 else f". {_listing(series, 'The folder holds')}"
        raise DataError(f"{folder}: {chosen}: {chosen.problem}{others}")
    if len(series) == 1 or wanted is not None:
        return chosen, None
    kind = "largest axial one" if chosen.axial else "largest one, none is axial"
    others = _listing([one for one in series if one is not chosen], "The others are")
    note = f"{chosen} was taken of {len(series)} (the {kind}); {_HOW_TO_ASK}. {others}"
    return chosen, note


def read_series(series: DicomSeries, *, hashed: bool = False, note: str | None = None) -> FileContent:
    """Read the voxels of a series in HU (or the units of its modality).

    Args:
        series: as found.
        hashed: whether ``sha256`` is wanted; it is ``series_sha256``.
        note: passed on.

    Returns:
        int16 where all values are integers that fit, else float32.

    Raises:
        DataError: if the series is no volume, or a slice can't be read, is cut short or changed meanwhile.
    """
    if series.problem is not None:
        raise DataError(f"{series.files[0].parent}: {series}: {series.problem}")
    columns, rows, slices = series.geometry.size
    for file in series.files:
        refuse_lying_size(file, rows * columns)
    values: Array = np.empty((slices, rows, columns), np.int16)
    digest = hashlib.sha256()
    for k, file in enumerate(series.files):
        data = _read_bytes(file)
        if hashed:
            digest.update(data)
        pixels = _read_slice(file, data, (rows, columns))
        values = values.astype(np.promote_types(values.dtype, pixels.dtype), copy=False)
        values[k] = pixels
    sha256 = digest.hexdigest() if hashed else ""
    return FileContent(values.transpose(2, 1, 0), series.geometry, sha256, note, series.patient_id)


def series_sha256(series: DicomSeries) -> str:
    """Hash of the bytes of the files in the order of the slices; their names don't matter."""
    digest = hashlib.sha256()
    for file in series.files:
        digest.update(_read_bytes(file))
    return digest.hexdigest()


def _series(slices: list[Slice], damaged: Sequence[Path], folder: Path) -> DicomSeries:
    ordered = in_order(slices)
    first = ordered[0]
    folders = {found.path.parent for found in ordered}
    beside = [path for path in damaged if path.parent in folders]
    problem = _damage(beside, folder) if beside else stack_problem(ordered, folder)
    return DicomSeries(
        uid=first.series_uid,
        number=first.series_number,
        modality=first.modality,
        files=tuple(found.path for found in ordered),
        geometry=stack_geometry(ordered, even=problem is None),
        problem=problem,
        patient_id=first.patient_id,
    )


def _nothing(slices: Sequence[Slice], damaged: Sequence[Path], folder: Path) -> str:
    found = [f"{len(slices)} pictures in colours or without a position"] if slices else []
    found += [_damage(damaged, folder)] if damaged else []
    what = f" ({'; '.join(found)})" if found else ""
    return (
        f"no DICOM slices in this folder or below it{what}; give a scan's file, or the folder that holds its "
        "series"
    )


def _damage(damaged: Sequence[Path], folder: Path) -> str:
    names = ", ".join(str(path.relative_to(folder)) for path in damaged[:3])
    more = f" and {len(damaged) - 3} more files" if len(damaged) > 3 else ""
    return (
        f"{names}{more}: can't be read (empty, cut short, damaged or a broken link); copy or download again, "
        "or remove what is not of this scan"
    )


def _largest(series: Sequence[DicomSeries], folder: Path) -> DicomSeries:
    patients = len({one.patient_id for one in series})
    if patients > 1:
        raise DataError(
            f"{folder}: it holds {len(series)} series of {patients} patients; give the folder of one "
            "patient, or say which series is meant"
        )
    return min(
        series,
        key=lambda one: (
            not one.axial,
            one.modality != "CT",
            -len(one.files),
            -math.prod(one.geometry.size),
            one.uid,
        ),
    )


def _asked_for(series: Sequence[DicomSeries], wanted: str, folder: Path) -> DicomSeries:
    name = wanted.strip()
    found = [one for one in series if name in (one.uid, str(one.number))]
    if not found:
        raise DataError(f"{folder}: no series {name}. {_listing(series, 'The folder holds')}")
    if len(found) > 1:
        raise DataError(f"{folder}: {len(found)} series have number {name}; {_listing(found, 'give a UID')}")
    return found[0]


def _listing(series: Sequence[DicomSeries], opening: str) -> str:
    """Each series with its UID, once."""
    lines = [f"{one}" if one.number is None else f"{one} {shown(one.uid)}" for one in series[:_LISTED]]
    more = [f"{len(series) - _LISTED} more"] if len(series) > _LISTED else []
    return f"{opening}: {'; '.join([*lines, *more])}"


def _read_slice(file: Path, data: bytes, shape: tuple[int, int]) -> Array:
    compression = compression_of(data)
    remedy = None
    if compression:
        remedy = (
            f"its pixels are compressed (transfer syntax {compression}): if the file is whole, decompress "
            "the series (gdcmconv --raw or dcmdjpeg do) or export it uncompressed"
        )
    with itk_errors(file, "read", remedy):
        image = sitk.ReadImage(str(file), imageIO="GDCMImageIO")
    pixels: Array = sitk.GetArrayFromImage(image)
    if pixels.shape != (1, *shape):
        raise DataError(f"{file}: the file changed while it was read; start again")
    if compression is None:
        bits = int(image.GetMetaData("0028|0100"))
        refuse_short_pixels(file, data, shape[0] * shape[1] * bits // 8)
    return image_values(pixels[0])


def _read_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as problem:
        raise DataError(
            f"{file}: the file can't be opened ({problem.strerror}); start again if it was just moved"
        ) from None
