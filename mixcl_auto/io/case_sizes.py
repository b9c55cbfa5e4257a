"""How large scans are, told from the ends of their files: to start with the largest, to bound the memory."""

import os
from pathlib import Path

from mixcl_auto.io.nifti_header import GZIP_MAGIC
from mixcl_auto.records.case import RawCase

_LENGTH_BYTES = 4
"""A gzip file ends with its content's length, modulo 2^32 (RFC 1952)."""


def image_bytes(case: RawCase) -> int:
    """Bytes of a scan, decompressed where it is gzip; 0 where it is no regular file.

    A folder counts with all of its files, and what other formats compress counts compressed.
    """
    try:
        if case.image.is_dir():
            return sum(path.stat().st_size for path in case.image.rglob("*") if path.is_file())
        return _decompressed_bytes(case.image) if case.image.is_file() else 0
    except OSError:
        return 0  # reading the case will tell why


def _decompressed_bytes(path: Path) -> int:
    stored = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(GZIP_MAGIC)) != GZIP_MAGIC or stored <= _LENGTH_BYTES:
            return stored
        file.seek(-_LENGTH_BYTES, os.SEEK_END)
        return max(stored, int.from_bytes(file.read(), "little"))
