"""The scans that a user points at: image files, DICOM series, and folders of either."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from mixcl_auto.errors import DataError, MixCLError
from mixcl_auto.io.dicom import choose_series, read_series, series_sha256
from mixcl_auto.io.dicom_studies import studies_below
from mixcl_auto.io.images import Volume, read_file, source_sha256, volume_of
from mixcl_auto.io.voxel_values import image_values
from mixcl_auto.records.names import NAME_RULE, escaped, is_plain_name, shown

__all__ = ["Scan", "find_scans", "read_scan", "refuse_clashes", "scan_list", "scan_sha256"]

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
_CHANNEL_SUFFIX = "_0000"
_FURTHER_CHANNEL = re.compile(r"_\d{4}$")
"""After ``case_name``, which takes the first channel's ``_0000`` away."""
_LISTED = 8


@dataclass(frozen=True)
class Scan:
    """One scan to segment."""

    path: Path
    """An image file, or a folder with DICOM slices in it or below it."""
    name: str
    """Of the file that its label map gets, without suffix; never from DICOM tags."""
    is_dicom: bool = False
    series: str | None = None
    """Which series of the folder, by UID or number; the largest axial one where absent."""

    @property
    def problem(self) -> str | None:
        """Why nothing can be written of it, and what to do."""
        return None if is_plain_name(self.name) else NAME_RULE.format(what="scan")

    def __str__(self) -> str:
        """Its path, as it can stand in a message."""
        return escaped(str(self.path))


def find_scans(source: Path, series: str | None = None) -> list[Scan]:
    """The scan at a path, or all scans of a folder, by name; hidden files are skipped.

    The image files directly in a folder are scans, and so is each study of DICOM slices below it: the folder
    itself if slices lie in it or all below it are of one study (and there are no images), else each
    sub-folder of which that holds. Scans of sub-folders are named after these, joined by ``_``.

    Args:
        source: an image file, or a folder.
        series: the UID or number of a DICOM series, where the source is one scan of several series.

    Raises:
        DataError: if there is no scan, if the name of the only one can't be that of a file that is written,
            or if ``series`` is given for anything but one DICOM scan.
    """
    scans = [_image(source)] if source.is_file() else _scans_of_folder(source)
    if not scans:
        raise DataError(
            f"{source}: no scan there; give an image ({', '.join(IMAGE_SUFFIXES)}), a folder of images, or a "
            "folder with DICOM slices in it or below it"
        )
    if len(scans) == 1 and scans[0].problem is not None:
        folder, name = escaped(str(scans[0].path.parent)), shown(scans[0].name)
        raise DataError(f"{folder}: {name!r}: {scans[0].problem}")
    if series is None:
        return scans
    if len(scans) > 1:
        raise DataError(
            f"{source}: --series {series} chooses within one scan, but here are {scan_list(scans)}; give the "
            "folder of one of them"
        )
    if not scans[0].is_dicom:
        raise DataError(
            f"{scans[0].path}: --series {series} is for DICOM series, this is an image; leave it out"
        )
    return [replace(scans[0], series=series)]


class ReadScan(NamedTuple):
    """What was read of a scan."""

    volume: Volume
    """In RAS."""
    files: tuple[Path, ...]
    """That it was read from, of DICOM in the order of the slices."""
    sha256: str
    """As ``scan_sha256`` gives it."""


def read_scan(scan: Scan) -> ReadScan:
    """Read a scan.

    Raises:
        DataError: if it can't be read, or the series is not to be found.
    """
    if scan.is_dicom:
        series, note = choose_series(scan.path, scan.series)
        if note:
            logger.info("%s: %s", scan.path, note)
        content, files = read_series(series, hashed=True), series.files
    else:
        content, files = read_file(scan.path, hashed=True), (scan.path,)
    return ReadScan(volume_of(content, image_values(content.values_ijk)), files, content.sha256)


def scan_sha256(scan: Scan) -> str | None:
    """Hash of the bytes that a scan is read from; none where they can't be, which reading it will explain."""
    try:
        if scan.is_dicom:
            return series_sha256(choose_series(scan.path, scan.series)[0])
        return source_sha256(scan.path)
    except (MixCLError, OSError):
        return None


def scan_list(scans: Sequence[Scan]) -> str:
    """Such as ``3 scans (a, b, c), 2 of them DICOM``."""
    names = ", ".join(escaped(scan.name) for scan in scans[:_LISTED])
    more = f", and {len(scans) - _LISTED} more" if len(scans) > _LISTED else ""
    counted = "1 scan" if len(scans) == 1 else f"{len(scans)} scans"
    dicom = sum(scan.is_dicom for scan in scans)
    kinds = "" if dicom == 0 else ", DICOM" if dicom == len(scans) else f", {dicom} of them DICOM"
    return f"{counted} ({names}{more}){kinds}"


def refuse_clashes(scans: Sequence[Scan], suffix: str) -> None:
    """See that every scan gets a label map of its own.

    Raises:
        DataError: if there is no scan, or two have one name.
    """
    if not scans:
        raise DataError("no scan to segment; give an image, a DICOM series or a folder of them")
    by_name: dict[str, Scan] = {}
    for scan in scans:
        if scan.name in by_name:
            first = by_name[scan.name]
            raise DataError(
                f"{first} and {scan} would both be written as {shown(scan.name)}{suffix}; rename one"
            )
        by_name[scan.name] = scan


def case_name(image: Path) -> str:
    """A file's name without its image suffix and without a trailing ``_0000``."""
    lower = image.name.lower()
    suffix = next((known for known in IMAGE_SUFFIXES if lower.endswith(known)), image.suffix)
    stem = image.name[: len(image.name) - len(suffix)]
    return stem.removesuffix(_CHANNEL_SUFFIX)


def _image(path: Path) -> Scan:
    return Scan(path, case_name(path))


def _scans_of_folder(folder: Path) -> list[Scan]:
    if not folder.is_dir():
        return []
    images = sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".") and path.name.lower().endswith(IMAGE_SUFFIXES)
    )
    _warn_of_channels(images)
    studies = studies_below(folder)
    if folder in studies and images:
        logger.warning(
            "%s: a DICOM series; %s beside its slices left out (give it by itself to segment it)",
            folder,
            images[0].name if len(images) == 1 else f"{images[0].name} and {len(images) - 1} more images",
        )
        images = []
    folders = _scan_folders(folder, studies, split=bool(images))
    found = [*map(_image, images), *(Scan(one, _folder_name(one, folder), is_dicom=True) for one in folders)]
    return sorted(found, key=lambda scan: scan.name)


def _warn_of_channels(images: Sequence[Path]) -> None:
    """Say so of what nnU-Net would call further channels of a scan: they are segmented as scans."""
    names = {image: case_name(image) for image in images}
    first = set(names.values())
    stems = {image: _FURTHER_CHANNEL.sub("", name) for image, name in names.items()}
    further = [image for image in images if stems[image] != names[image] and stems[image] in first]
    if further:
        logger.warning(
            "%s%s: named as a further channel of a scan; each file is taken for a scan of its own, so move "
            "it away if it is none",
            further[0],
            "" if len(further) == 1 else f" and {len(further) - 1} more",
        )


def _scan_folders(folder: Path, studies: dict[Path, str], *, split: bool = False) -> list[Path]:
    """The folders that are one scan each.

    Args:
        folder: where to look.
        studies: folders with slices directly in them, all at or below ``folder``, and their studies.
        split: whether ``folder`` itself can't be the scan, unless slices lie in it.
    """
    if folder in studies or (len(set(studies.values())) == 1 and not split):
        return [folder]
    parts: dict[Path, dict[Path, str]] = {}
    for path, study in studies.items():
        parts.setdefault(folder / path.relative_to(folder).parts[0], {})[path] = study
    return [scan for part, within in parts.items() for scan in _scan_folders(part, within)]


def _folder_name(folder: Path, source: Path) -> str:
    if folder == source:
        return source.resolve().name or "scan"
    return "_".join(folder.relative_to(source).parts)
