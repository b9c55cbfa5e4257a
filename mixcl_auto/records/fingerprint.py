"""What planning measures in the raw data."""

from mixcl_auto.records.names import PlainName, PrintableName
from mixcl_auto.records.record import Record


class Intensities(Record):
    """HU statistics over a set of voxels."""

    voxels: int
    mean: float
    std: float
    minimum: float
    percentile_00_5: float
    median: float
    percentile_99_5: float
    maximum: float


class CaseFingerprint(Record):
    """One case as measured; shapes and spacings are in RAS axis order (x, y, z)."""

    id: PlainName
    patient: PrintableName
    image_hash: str
    """SHA-256 of the image file's bytes."""
    label_hash: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    orientation: str
    label_voxels: dict[int, int]
    """Label value, background included, to its number of voxels in the file."""
    image: Intensities
    """Over the whole scan."""
    foreground: Intensities | None
    """Over all labelled voxels; absent where nothing is labelled."""


class DatasetFingerprint(Record):
    """All cases of a dataset and what the planner's rules need of them."""

    dataset: PlainName
    cases: tuple[CaseFingerprint, ...]
    median_shape: tuple[float, float, float]
    median_spacing_mm: tuple[float, float, float]
    spacing_percentile_10_mm: tuple[float, float, float]
    spacing_percentile_90_mm: tuple[float, float, float]
    foreground: Intensities | None
    """Over a sample of labelled voxels of all cases, each case weighted equally."""
    foreground_quantiles: tuple[float, ...] = ()
    """201 evenly spaced quantiles, 0 % to 100 %, of what ``foreground`` sums up."""
