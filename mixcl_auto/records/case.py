"""A case: one scan with its label map, in the raw data and in the cache."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field

from mixcl_auto.records.names import PlainName, PrintableName
from mixcl_auto.records.record import Record

Role = Literal["pretrain", "target", "both"]


def times(values: Iterable[float]) -> str:
    """Figures along the axes as messages show them, such as ``0.9 x 0.9 x 3``."""
    return " x ".join(f"{value:.6g}" for value in values)


class RawCase(Record):
    """Where a case's files lie; nothing is copied or renamed."""

    id: str
    image: Path
    label: Path | None
    patient: str
    series: str | None = None
    """Which DICOM series of the folder ``image``: its SeriesInstanceUID or SeriesNumber."""
    label_flips: str | None = Field(default=None, pattern="^i?j?k?$")
    """The label map lies on the image's voxels, whatever its header says, once its array is flipped along
    these of its axes, such as ``j`` or ``jk`` or none (an empty text); where absent, its header holds."""


class RawDataset(Record):
    """A raw dataset as its ``dataset.json`` and folders describe it."""

    name: str
    role: Role
    role_given: bool = True
    """Whether ``dataset.json`` or the user names the role; where none does, it is read as ``both``."""
    channel_name: str = "CT"
    labels: dict[str, int]
    """Organ name to label value, without the background (0)."""
    cases: tuple[RawCase, ...]

    @property
    def is_ct(self) -> bool:
        """Whether its intensities are Hounsfield units."""
        return self.channel_name.upper() == "CT"

    unused_files: tuple[Path, ...] = ()
    """What lies among the files of the cases and belongs to none."""


class Geometry(Record):
    """The voxel grid of a file as ITK reads it: axes (i, j, k) of the file, physical space LPS."""

    size: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    direction: tuple[float, ...] = Field(min_length=9, max_length=9)
    orientation: str
    """Three letters such as ``LPS``: where each axis of the file points, to the nearest body axis."""


class CachedCase(Record):
    """``case.json`` of the cache; written last, so that its presence means that the case is whole."""

    id: PlainName
    key: str
    """Hash of both files' contents, the plan's preprocess section, the cache's format and the patient."""
    patient: PrintableName
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    source: Geometry
    label_voxels: dict[int, int]
    """Label value (background included) to its number of voxels on the resampled grid."""
