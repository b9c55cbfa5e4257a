"""NIH Pancreas-CT: a DICOM series per patient, label maps as NIfTI by number, flipped against their scans."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mixcl_auto.converters.conversion import Conversion, LeftOut, Source, leave_out, require_cases, some
from mixcl_auto.converters.files import find_folders, folders_in, image_files
from mixcl_auto.converters.label_flips import SettledFlips, name_flips, settle_flips, tissue_contrasts
from mixcl_auto.engines.process_pool import run_tasks
from mixcl_auto.errors import DataError, MixCLError
from mixcl_auto.io.dicom import DicomSeries, find_series, read_series
from mixcl_auto.io.images import read_file
from mixcl_auto.records.case import RawCase, RawDataset

TREE = """\
(any folder)/
  Pancreas-CT/PANCREAS_0001/<study>/<series>/*.dcm
  TCIA_pancreas_labels-02-05-2017/label0001.nii.gz"""

LABELS = {"pancreas": 1}
ABOUT = {
    "description": "NIH Pancreas-CT: the pancreas in portal venous CT",
    "reference": "Roth et al., Data From Pancreas-CT, https://doi.org/10.7937/K9/TCIA.2016.tNB1kqBU",
    "licence": "CC BY 3.0",
}
WITHDRAWN = ("0025", "0070")
"""By the source; their label maps may still be there."""

_SCAN = re.compile(r"PANCREAS_(\d{4})")
_LABEL = re.compile(r"label(\d{4})")


@dataclass(frozen=True)
class _Pair:
    case: str
    scan: Path
    label: Path


@dataclass(frozen=True)
class _Measured:
    case: RawCase
    contrasts: dict[str, float]
    """Per flip of the label map; see ``tissue_contrasts``."""


def is_root(folder: Path) -> bool:
    """Whether a folder holds the scans."""
    return any(_SCAN.fullmatch(inner.name) for inner in folders_in(folder))


def read(root: Path, source: Source) -> Conversion:
    """Match scans and label maps by number, and find out how the label maps are flipped; every scan is read.

    Raises:
        DataError: if there are no label maps, if no case can be used, or if no flip clearly fits.
    """
    scans = {match[1]: path for path in folders_in(root) if (match := _SCAN.fullmatch(path.name))}
    labels = _labels(source.folder, root)
    left_out = _unmatched(scans, labels)
    numbers = sorted((scans.keys() & labels.keys()) - set(WITHDRAWN))
    pairs = [_Pair(f"PANCREAS_{number}", scans[number], labels[number]) for number in numbers]
    measured = _measure_all(pairs, source, left_out)
    require_cases((found.case for found in measured), left_out, root)
    settled = settle_flips({found.case.id: found.contrasts for found in measured})
    for case, flips in settled.against.items():
        leave_out(left_out, f"its label map fits only {name_flips(flips)}, unlike the others'", case)
    cases = tuple(
        found.case.model_copy(update={"label_flips": settled.flips})
        for found in measured
        if found.case.id not in settled.against
    )
    dataset = RawDataset(name="NIH_Pancreas", role="pretrain", labels=LABELS, cases=cases)
    warnings = tuple(_warnings(settled))
    return Conversion(root, dataset, ABOUT, left_out, warnings, (_remark(settled),))


def _labels(source: Path, root: Path) -> dict[str, Path]:
    """Label maps anywhere in SOURCE, by number; BTCV's are called the same, but have their images beside."""

    def holds_labels(folder: Path) -> bool:
        return any(map(_LABEL.fullmatch, image_files(folder))) and not (folder.parent / "img").is_dir()

    folders = find_folders(source, lambda folder: folder != root and holds_labels(folder))
    folders = [root] * holds_labels(root) or folders
    if len(folders) != 1:
        found = "several folders hold" if folders else "there are no"
        where = f" ({some(map(str, folders), 3)})" if folders else ""
        raise DataError(
            f"{source}: {root.name} holds the scans, but {found} label maps{where}; extract the labels' "
            "archive (TCIA_pancreas_labels-02-05-2017, with label0001.nii.gz) once, beside the scans, and "
            "give the folder of both"
        )
    return {
        match[1]: path for stem, path in image_files(folders[0]).items() if (match := _LABEL.fullmatch(stem))
    }


def _unmatched(scans: dict[str, Path], labels: dict[str, Path]) -> LeftOut:
    alone = scans.keys() ^ labels.keys()
    reasons = {
        "withdrawn by the source": sorted((scans.keys() | labels.keys()) & set(WITHDRAWN)),
        "no label map": sorted((alone & scans.keys()) - set(WITHDRAWN)),
        "no scan": sorted((alone & labels.keys()) - set(WITHDRAWN)),
    }
    return {
        reason: tuple(f"PANCREAS_{number}" for number in numbers)
        for reason, numbers in reasons.items()
        if numbers
    }


def _measure_all(pairs: list[_Pair], source: Source, left_out: LeftOut) -> list[_Measured]:
    """Measure every pair; those that can't be read are added to ``left_out``."""
    outcomes = run_tasks(
        _measure,
        pairs,
        jobs=source.jobs,
        name=lambda pair: pair.case,
        description="Trying the label maps' flips",
        progress=source.progress,
    )
    found = []
    for outcome in sorted(outcomes, key=lambda outcome: outcome.task.case):  # not as workers happen to end
        if outcome.value is not None:
            found.append(outcome.value)
        else:
            leave_out(left_out, _reason(outcome.error), outcome.task.case)
    return found


def _measure(pair: _Pair) -> _Measured:
    label = read_file(pair.label)
    if not (label.values_ijk > 0).any():
        raise DataError("its label map is empty")
    series, several = _fitting_series(pair, label.geometry.size)
    image = read_series(series)
    case = RawCase(
        id=pair.case,
        image=pair.scan,
        label=pair.label,
        patient=pair.case,
        series=series.uid if several else None,
    )
    spacing_mm = image.geometry.spacing_mm
    return _Measured(case, tissue_contrasts(image.values_ijk, label.values_ijk, spacing_mm))


def _fitting_series(pair: _Pair, size: tuple[int, int, int]) -> tuple[DicomSeries, bool]:
    """The series with as many voxels as the label map, and whether there are others."""
    series = find_series(pair.scan)
    fitting = [found for found in series if found.problem is None and found.geometry.size == size]
    if len(fitting) != 1:
        verb = "several series have as many" if fitting else "no series has as many"
        voxels = " x ".join(map(str, size))
        found = "; ".join(f"{one}: {one.problem}" if one.problem else str(one) for one in series)
        raise DataError(f"its label map has {voxels} voxels, and {verb} ({found})")
    return fitting[0], len(series) > 1


def _reason(error: Exception | None) -> str:
    return str(error) if isinstance(error, MixCLError) else f"{type(error).__name__}: {error}"


def _remark(settled: SettledFlips) -> str:
    shown = f"{len(settled.clear)} of {len(settled.clear) + len(settled.unclear) + len(settled.against)}"
    return f"label maps are {name_flips(settled.flips)} against their scans: {shown} scans show it clearly"


def _warnings(settled: SettledFlips) -> Iterable[str]:
    if settled.unclear:
        yield (
            "scans that don't show clearly how their label maps are flipped follow the others: "
            f"{some(settled.unclear)}"
        )
