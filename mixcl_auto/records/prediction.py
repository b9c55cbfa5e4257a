"""What was predicted: of a run's held-out cases, and of scans that a user gave."""

from typing import Literal

from pydantic import Field

from mixcl_auto.records.names import PlainName, RelativeFolders
from mixcl_auto.records.plan import InferencePlan
from mixcl_auto.records.record import Record

Side = Literal["left", "right", "posterior", "anterior", "inferior", "superior"]

SIDES: tuple[tuple[Side, Side], ...] = (
    ("left", "right"),
    ("posterior", "anterior"),
    ("inferior", "superior"),
)
"""Where the first and the last index along x, y and z of a RAS array lie."""


class HeldOutPredictions(Record):
    """``predictions/done.json``: written after each case, so that a stopped prediction goes on."""

    model_sha256: str
    """Of the weights that predicted."""
    inference: InferencePlan
    cases: tuple[PlainName, ...] = ()
    """Whose label maps are there, on both grids."""


class PredictingModel(Record):
    """One of the networks that predicted."""

    run: RelativeFolders
    """Its folder below the plan's results: dataset, initialisation, fraction, fold, seed."""
    weights_sha256: str
    """Of its ``model.safetensors``."""


class SegmentedScan(Record):
    """What was written of a scan, and from what, so that the same call need not do it again."""

    input_sha256: str
    """Of the bytes of the image's file, or of the files of the DICOM series."""
    files: dict[RelativeFolders, str]
    """Path below the output folder to the SHA-256 of each file."""


class PredictionRecord(Record):
    """``prediction.json`` beside label maps: what made them."""

    mixcl_auto: str
    torch: str
    device: str
    """That computed, at the end."""
    precision: str
    plan: str
    """Content hash of ``plan.json`` beside this file."""
    models: tuple[PredictingModel, ...]
    """Whose probabilities were averaged."""
    flips: str
    """Axes of the flips that each network's output was averaged over."""
    overlap: float | None = None
    """Share of a window that the next one repeats; absent in records of earlier versions."""
    scans: tuple[PlainName, ...] = ()
    """The names of those that these models segmented."""
    written: dict[PlainName, SegmentedScan] = Field(default_factory=dict)
    """Of each of these scans; none of those that an earlier version segmented."""
    other_scans: tuple[PlainName, ...] = ()
    """Of which files of other models lie here still."""

    def same_recipe(self, other: "PredictionRecord") -> bool:
        """Whether both come from the same networks in the same way.

        The plan's hash does not count: it changes with every field that a later version adds, and what else
        of a plan makes label maps was fixed when the weights were trained.
        """
        same_overlap = None in (self.overlap, other.overlap) or self.overlap == other.overlap
        return same_overlap and (self.models, self.flips) == (other.models, other.flips)


class OrganExtent(Record):
    """How large an organ is, on the scan's own grid."""

    label: int
    voxels: int
    volume_ml: float
    extent_mm: tuple[float, float, float]
    """Of its bounding box, along the scan's right-left, anterior-posterior and superior-inferior axes."""
    touches: tuple[Side, ...]
    """Sides of the scan that it reaches, where it may be cut off."""


class OrganHounsfield(OrganExtent):
    """Its values in a CT; null where it has no voxel."""

    mean_hu: float | None
    standard_deviation_hu: float | None


class OrganIntensity(OrganExtent):
    """Its values in a scan of another modality, in the scan's own unit; null where it has no voxel."""

    mean_intensity: float | None
    standard_deviation_intensity: float | None


class ScanStatistics(Record):
    """``statistics/<name>.json``: the organs of one scan, those without a voxel included.

    Rounded to 0.001 ml, 0.01 mm and 0.01 HU.
    """

    scan: str
    spacing_mm: tuple[float, float, float]
    """Along right-left, anterior-posterior and superior-inferior."""
    organs: dict[str, OrganHounsfield | OrganIntensity]
