"""What one reading of a case's files tells: the facts that validation judges and planning sums up."""

from pydantic import Field

from mixcl_auto.records.case import Geometry
from mixcl_auto.records.fingerprint import Intensities
from mixcl_auto.records.record import Record


class FileFacts(Record):
    """A file that could be read."""

    path: str
    sha256: str
    """Of the file's bytes; see ``image_sha256`` and ``label_sha256``."""
    content_sha256: str
    """Of the voxels in RAS order, so that the same scan is known again however it was compressed, turned or
    stored, as a DICOM series and its conversion to NIfTI are."""
    geometry: Geometry


class CaseInspection(Record):
    """A case as found on disk, without judgement."""

    dataset: str
    case: str
    patient: str
    image: FileFacts | None
    """Absent where the file can't be read, as ``label``."""
    label: FileFacts | None
    problems: dict[str, str]
    """File to the reason why it can't be used."""
    notes: dict[str, str] = Field(default_factory=dict)
    """File to what was decided in reading it, such as which of several DICOM series was taken."""
    dicom_patient: str = Field(default="", repr=False, exclude=True)
    """PatientID of the image's series, only to tell patients apart: never shown nor written."""
    non_finite_voxels: int = 0
    """NaN and infinite values of the image."""
    intensities: Intensities | None = None
    """Over all finite voxels of the image."""
    label_voxels: dict[int, int] = Field(default_factory=dict)
    """Label value, background included, to its number of voxels in the file."""
    foreground: Intensities | None = None
    """Over labelled voxels; absent where there are none, or where image and label differ in shape."""
    foreground_quantiles: tuple[float, ...] = ()
    """201 evenly spaced quantiles of the labelled voxels, 0 % to 100 %."""
