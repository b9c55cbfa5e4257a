"""A case's folder in the cache, written whole or not at all.

blosc2, lz4 after a bit shuffle; blocks of 16^3 voxels (8 kB of int16, within the first CPU cache) suit random
crops of 32^3 to 96^3.
"""

import errno
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import numpy.typing as npt

from mixcl_auto.errors import DataError
from mixcl_auto.io.case_cache import ARRAYS
from mixcl_auto.io.file_sums import write_sums
from mixcl_auto.io.files import naming, sync
from mixcl_auto.io.partial_files import partial_path
from mixcl_auto.records.case import CachedCase

_CHUNK = 96
"""Chunks of 64^3 take twice the time to write, and crops of 96^3 are read but a tenth faster from them."""
_BLOCK = 16
_ATTEMPTS = 10
"""To move a case into place while other processes do the same."""


def write_case(
    folder: Path,
    record: CachedCase,
    *,
    image: npt.NDArray[np.int16],
    labels: npt.NDArray[Any],
    distance: npt.NDArray[np.uint8],
    foreground: Mapping[int, npt.NDArray[np.int16]],
) -> None:
    """Write a case under a temporary name and move it into place, replacing an older one.

    Args:
        folder: ``preprocessed/<Dataset>/<hash>/<case>``.
        record: written last.
        image: in steps, within the plan's window.
        labels: uint8, or int16 where a label exceeds 255.
        distance: codes of D.
        foreground: label value to voxels (n, 3).

    Raises:
        DataError: if an array does not have the record's shape, or not the type of the cache.
        OSError: if the case can't be written; one that was there stays.
    """
    arrays = {"image": image, "labels": labels, "distance": distance}
    _check(record, arrays)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = partial_path(folder)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        with naming(folder, temporary):
            for name, array in arrays.items():
                _compress(temporary / f"{name}.b2nd", array)
            np.savez(
                temporary / "foreground.npz",
                allow_pickle=False,
                **{str(label): voxels for label, voxels in foreground.items()},
            )
            (temporary / "case.json").write_text(record.to_json(), encoding="utf-8")
            write_sums(temporary)
            _flush_to_disk(temporary)
            _move_into_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check(record: CachedCase, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    for name, array in arrays.items():
        if array.shape != record.shape:
            raise DataError(f"case {record.id}: {name} has shape {array.shape}, the record {record.shape}")
        if (dtype := ARRAYS[name]) is not None and array.dtype != dtype:
            raise DataError(f"case {record.id}: {name} must be {dtype}, got {array.dtype}")


def _compress(path: Path, array: npt.NDArray[Any]) -> None:
    """Written by Python, since blosc2 does not say why it could not, such as that the disk is full."""
    chunks = [max(1, min(_CHUNK, side)) for side in array.shape]
    blocks = [min(_BLOCK, side) for side in chunks]
    compressed = blosc2.asarray(
        np.ascontiguousarray(array),
        chunks=chunks,
        blocks=blocks,
        contiguous=True,
        cparams={
            "codec": blosc2.Codec.LZ4,
            "clevel": 5,
            "filters": [blosc2.Filter.BITSHUFFLE],
            "filters_meta": [0],
            "nthreads": 1,
        },
    )
    path.write_bytes(compressed.to_cframe())


def _flush_to_disk(folder: Path) -> None:
    for path in [*folder.iterdir(), folder]:
        sync(path)


def _move_into_place(temporary: Path, folder: Path) -> None:
    """A folder can't be replaced at once: the old one steps aside, and a crash between leaves none."""
    aside = partial_path(folder.with_name(f"old.{folder.name}"))
    for _ in range(_ATTEMPTS):
        shutil.rmtree(aside, ignore_errors=True)
        with suppress(FileNotFoundError):
            folder.rename(aside)
        try:
            temporary.rename(folder)
        except OSError as problem:  # another process has put the same case there meanwhile
            if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            break
    shutil.rmtree(aside, ignore_errors=True)
    sync(folder.parent)
