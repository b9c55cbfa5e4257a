"""The cache: one folder per case, with compressed arrays that are read region by region.

``image.b2nd`` (int16, within the plan's window, in its steps: HU for CT), ``labels.b2nd``, ``distance.b2nd``
(uint8 codes of D in Eq. 7), ``foreground.npz`` (voxels to centre patches on), ``case.json``, and
``sums.json`` with their check sums; ``case_writer.py`` makes them.
"""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import blosc2
import numpy as np
import numpy.typing as npt

from mixcl_auto.errors import DataError, MixCLError
from mixcl_auto.io.file_sums import damaged_file, is_cut_short
from mixcl_auto.io.files import read_text
from mixcl_auto.io.open_cases import OpenCases, is_out_of_files, too_many_files
from mixcl_auto.records.case import CachedCase

logger = logging.getLogger(__name__)

CACHE_FORMAT = 1
"""Raised whenever the files, or the recipe that fills them, change."""

ARRAYS = {"image": np.dtype(np.int16), "labels": None, "distance": np.dtype(np.uint8)}
"""And their types; labels have the smallest that holds them."""
_REMEDY = "run `mixcl_auto plan_and_preprocess` again"
_OPEN_CASES = OpenCases()
"""Of all readers: it is a process that may open so many files."""


def case_key(image_sha256: str, label_sha256: str, preprocess_hash: str, patient: str) -> str:
    """What a cached case depends on: both files' bytes, the plan's preprocess section, the cache's format.

    And on the patient, whom the scores get from here.
    """
    parts = (f"format {CACHE_FORMAT}", image_sha256, label_sha256, preprocess_hash, patient)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


class CaseReader:
    """One cached case; files are opened at first use in a process, so that it pickles and forks.

    They stay open until too many other cases were used since; then they are opened again when wanted.
    """

    def __init__(self, folder: Path, record: CachedCase) -> None:
        self.folder = folder
        self.record = record
        self._opened: dict[str, blosc2.NDArray] = {}
        self._foreground: dict[int, npt.NDArray[np.int16]] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels of the resampled scan."""
        return self.record.shape

    def image(self, lower: Sequence[int], upper: Sequence[int]) -> npt.NDArray[np.int16]:
        """Intensities, in steps, from ``lower`` to before ``upper``, which must lie inside the scan."""
        return self._region("image", lower, upper)

    def labels(self, lower: Sequence[int], upper: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Labels of a region."""
        return self._region("labels", lower, upper)

    def distance(self, lower: Sequence[int], upper: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Codes of the distance to the nearest boundary in a region."""
        return self._region("distance", lower, upper)

    @property
    def foreground(self) -> dict[int, npt.NDArray[np.int16]]:
        """Label value to voxels (n, 3) of that label; only labels that the case has."""
        _OPEN_CASES.note_use(self)
        voxels = self._foreground
        if voxels is None:
            voxels = self._foreground = self._read_foreground()
        return voxels

    def close(self) -> None:
        """Let go of the files; whoever reads of them just now does so to the end."""
        self._opened, self._foreground = {}, None

    def _read_foreground(self) -> dict[int, npt.NDArray[np.int16]]:
        path = self.folder / "foreground.npz"
        try:
            with np.load(path, allow_pickle=False) as file:
                voxels = {int(name): file[name] for name in file.files}
        except (OSError, ValueError, EOFError, BadZipFile) as problem:
            raise self._damaged(path, problem) from None
        self._refuse_replaced()
        return voxels

    def _region(self, name: str, lower: Sequence[int], upper: Sequence[int]) -> npt.NDArray[Any]:
        for start, stop, size in zip(lower, upper, self.shape, strict=True):
            if not 0 <= start <= stop <= size:
                region = f"region {tuple(lower)} to {tuple(upper)}"
                raise IndexError(f"{region} leaves case {self.record.id} of shape {self.shape}")
        window = tuple(slice(int(start), int(stop)) for start, stop in zip(lower, upper, strict=True))
        try:
            values: npt.NDArray[Any] = self._array(name)[window]
        except (RuntimeError, ValueError, OSError) as problem:
            raise self._damaged(self.folder / f"{name}.b2nd", problem) from None
        return values

    def check(self) -> None:
        """See that every file is there, and that no array is cut short; their content is not read.

        Raises:
            DataError: if not.
            RunError: if this process has too many files open to tell.
        """
        for name in ARRAYS:
            self._check_length(self.folder / f"{name}.b2nd")
        if not (self.folder / "foreground.npz").is_file():
            raise self._damaged(self.folder / "foreground.npz", "no such file")

    def _check_length(self, path: Path) -> None:
        try:
            is_short = is_cut_short(path)
        except FileNotFoundError:
            raise self._damaged(path, "no such file") from None
        except OSError as problem:
            raise self._damaged(path, problem, problem.strerror) from None
        if is_short:
            raise self._damaged(path, "it is cut short")

    def _refuse_replaced(self) -> None:
        """See that the folder still holds this case; looked at after a file of it was opened.

        Raises:
            DataError: if another one was put there since, made of other raw files.
        """
        if open_case(self.folder).record.key != self.record.key:
            raise DataError(
                f"{self.folder}: the cached case was replaced meanwhile by one that was made of other raw "
                "files; plan again with the files that are there, or restore the earlier ones and "
                f"{_REMEDY}"
            )

    def _damaged(self, path: Path, problem: Exception | str, words: str | None = None) -> MixCLError:
        if isinstance(problem, Exception) and is_out_of_files(problem):
            return too_many_files(path)
        return DataError(
            f"{path}: damaged cache file ({words or problem}); remove {self.folder} and {_REMEDY}"
        )

    def _array(self, name: str) -> blosc2.NDArray:
        _OPEN_CASES.note_use(self)
        array = self._opened.get(name)
        if array is None:
            array = self._opened[name] = self._open(self.folder / f"{name}.b2nd")
            _OPEN_CASES.note_use(self)  # another thread may have closed it meanwhile
        return array

    def _open(self, path: Path) -> blosc2.NDArray:
        self._check_length(path)
        array = blosc2.open(str(path), mode="r", mmap_mode="r", dparams={"nthreads": 1})
        self._refuse_replaced()
        if array.shape != self.shape:
            raise self._damaged(path, f"its shape is {array.shape}, that of the case {self.shape}")
        return array

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "record": self.record, "_opened": {}, "_foreground": None}


def open_case(folder: Path) -> CaseReader:
    """Open a cached case.

    Raises:
        DataError: if the folder is missing or its ``case.json`` unreadable.
        RunError: if this process has too many files open.
    """
    path = folder / "case.json"
    try:
        text = read_text(path, what="cached case", remedy=_REMEDY)
    except DataError as problem:
        raise (too_many_files(path) if is_out_of_files(problem) else problem) from None
    return CaseReader(folder, CachedCase.from_json(text, source=str(path)))


def cached_key(folder: Path) -> str | None:
    """The key of the case in a folder; absent where there is no whole one."""
    try:
        case = open_case(folder)
        case.check()
        return case.record.key
    except DataError:
        return None


def is_intact(folder: Path) -> bool:
    """Whether every file of a cached case is as it was written; reads them all.

    A case of the time before check sums is taken as it is.

    Raises:
        RunError: if this process has too many files open to tell.
    """
    damaged = damaged_file(folder)
    if damaged is not None:
        _check_opens(damaged)
        logger.warning("%s: the cached file does not have its check sum; the case is made again", damaged)
    return damaged is None


def _check_opens(path: Path) -> None:
    """See that a file was not taken for damaged since it could not be opened."""
    try:
        path.open("rb").close()
    except OSError as problem:
        if is_out_of_files(problem):
            raise too_many_files(path) from None
