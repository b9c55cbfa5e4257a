"""The folder of a prediction: where its files lie, and what an earlier prediction left there."""

import logging
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mixcl_auto.errors import DataError
from mixcl_auto.io.files import file_sha256, read_text, write_text
from mixcl_auto.io.partial_files import remove_partials, remove_partials_in
from mixcl_auto.records.prediction import PredictionRecord, SegmentedScan

logger = logging.getLogger(__name__)

_PREVIEWS, _STATISTICS, _PROBABILITIES = "previews", "statistics", "probabilities"

LabelFormat = Literal["nifti", "dicom-seg"]
SUFFIXES: dict[LabelFormat, str] = {"nifti": ".nii.gz", "dicom-seg": ".dcm"}

_LISTED = 4


@dataclass(frozen=True)
class Wanted:
    """What to write beside each label map."""

    probabilities: bool = False
    preview: bool = False
    statistics: bool = False


@dataclass(frozen=True)
class OutputFolder:
    """Where the label maps go and what is beside them."""

    path: Path
    label_format: LabelFormat = "nifti"

    @property
    def plan(self) -> Path:
        """The recipe of the models, with this call's flips."""
        return self.path / "plan.json"

    @property
    def record(self) -> Path:
        """What predicted."""
        return self.path / "prediction.json"

    @property
    def lock(self) -> Path:
        """Held while a prediction writes here."""
        return self.path / "prediction.lock"

    def label_map(self, scan: str) -> Path:
        """A scan's label map."""
        return self.path / f"{scan}{SUFFIXES[self.label_format]}"

    def preview(self, scan: str) -> Path:
        """A scan's picture."""
        return self.path / _PREVIEWS / f"{scan}.png"

    def statistics(self, scan: str) -> Path:
        """A scan's volumes and intensities."""
        return self.path / _STATISTICS / f"{scan}.json"

    def probabilities(self, scan: str, organs: Iterable[str]) -> dict[str, Path]:
        """Each organ's file; characters of its name that a file should not have become ``_``."""
        folder = self._probabilities_of(scan)
        paths: dict[str, Path] = {}
        for organ in organs:
            plain = re.sub(r"[^\w.+-]+", "_", organ).strip(".") or "organ"
            taken = {path.name.lower() for path in paths.values()}
            names = [f"{plain}.nii.gz", *(f"{plain}_{number}.nii.gz" for number in range(2, len(paths) + 3))]
            paths[organ] = folder / next(name for name in names if name.lower() not in taken)
        return paths

    def files_of(self, scan: str, organs: Iterable[str], wanted: Wanted) -> list[Path]:
        """All that a prediction writes of a scan."""
        return [
            self.label_map(scan),
            *([self.preview(scan)] if wanted.preview else []),
            *([self.statistics(scan)] if wanted.statistics else []),
            *(self.probabilities(scan, organs).values() if wanted.probabilities else []),
        ]

    def clear(self) -> None:
        """Remove what stopped predictions left half written, where no other process can be writing.

        Only of the folders that a prediction writes into: a user may keep others here.
        """
        remove_partials_in([self.path, self.path / _PREVIEWS, self.path / _STATISTICS])
        remove_partials(self.path / _PROBABILITIES)

    def begin(self, record: PredictionRecord, coming: Mapping[str, Iterable[Path]]) -> PredictionRecord:
        """Take over what an earlier prediction by the same models made; warn of what other models left.

        Args:
            record: of this prediction, with no scan yet.
            coming: the scans that will be segmented, with the files that will be written of each.

        Returns:
            The record with the scans that the same models segmented before, and those of other models; of
            the coming ones only what was written of them, for ``is_done``.
        """
        before = self._earlier_record()
        if before is None:
            return record
        same = before.same_recipe(record)
        kept = set(before.scans) - set(coming) if same else set()
        others = set(before.other_scans) if same else {*before.scans, *before.other_scans}
        new = {path for paths in coming.values() for path in paths}
        stale = {scan: [path for path in self._files_here(scan) if path not in new] for scan in others}
        left = [str(path.relative_to(self.path)) for scan in sorted(stale) for path in stale[scan]]
        if left:
            more = f" and {len(left) - _LISTED} more" if len(left) > _LISTED else ""
            logger.warning(
                "%s: other models made %s%s, and they stay; remove them, or choose another output folder",
                self.path,
                ", ".join(left[:_LISTED]),
                more,
            )
        remaining = sorted(scan for scan, paths in stale.items() if paths)
        return record.model_copy(
            update={
                "scans": tuple(sorted(kept)),
                "other_scans": tuple(remaining),
                "written": before.written if same else {},
            }
        )

    def is_done(
        self, record: PredictionRecord, scan: str, input_sha256: str | None, files: Iterable[Path]
    ) -> bool:
        """Whether these files were made of this very scan by these models, and are whole.

        Args:
            record: as ``begin`` gave it.
            scan: its name.
            input_sha256: of its bytes; absent where they can't be read.
            files: those that are wanted of it.
        """
        before = record.written.get(scan)
        if before is None or before.input_sha256 != input_sha256:
            return False
        return all(self._is_whole(before, path) for path in files)

    def finish_scan(
        self, record: PredictionRecord, scan: str, input_sha256: str, files: Iterable[Path]
    ) -> PredictionRecord:
        """Note that a scan is done; what was made of it earlier, and not again, stays if it still holds.

        Args:
            record: of this prediction.
            scan: its name.
            input_sha256: of the bytes that it was read from.
            files: those that were written of it.
        """
        sums = {self._relative(path): file_sha256(path) for path in files}
        sums |= self._kept(scan, record.written.get(scan), input_sha256, sums.keys())
        written = {one: known for one, known in record.written.items() if one != scan}
        written[scan] = SegmentedScan(input_sha256=input_sha256, files=dict(sorted(sums.items())))
        update = {"written": dict(sorted(written.items())), "scans": tuple(sorted({*record.scans, scan}))}
        noted = record.model_copy(update=update)
        write_text(self.record, noted.to_json())
        return noted

    def _kept(
        self, scan: str, before: SegmentedScan | None, input_sha256: str, new: Collection[str]
    ) -> dict[str, str]:
        """The sums of what was written earlier and not now; of another scan of this name it is removed."""
        if before is None:
            return {}
        others = [name for name in before.files.keys() - set(new) if self._is_whole(before, self.path / name)]
        if before.input_sha256 == input_sha256:
            return {name: before.files[name] for name in others}
        if others:
            listed = ", ".join(sorted(others))
            logger.info("%s: %s removed, made of another scan of this name", self.path, listed)
        for name in others:
            (self.path / name).unlink()
        with suppress(OSError):  # not there, or with files in it
            self._probabilities_of(scan).rmdir()
        return {}

    def _probabilities_of(self, scan: str) -> Path:
        return self.path / _PROBABILITIES / scan

    def _is_whole(self, written: SegmentedScan, path: Path) -> bool:
        """Whether a file is there as it was written."""
        wanted = written.files.get(self._relative(path))
        return wanted is not None and path.is_file() and file_sha256(path) == wanted

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()

    def _earlier_record(self) -> PredictionRecord | None:
        if not self.record.is_file():
            return None
        try:
            text = read_text(self.record, what="record of the prediction", remedy="remove it")
            return PredictionRecord.from_json(text, source=str(self.record))
        except DataError as problem:
            logger.warning("%s; it is written anew", problem)
            return None

    def _files_here(self, scan: str) -> list[Path]:
        """What lies here of a scan, in every format."""
        files = [
            *(self.path / f"{scan}{suffix}" for suffix in SUFFIXES.values()),
            self.preview(scan),
            self.statistics(scan),
        ]
        probabilities = sorted(self._probabilities_of(scan).glob("*.nii.gz"))
        return [*(path for path in files if path.is_file()), *probabilities]
