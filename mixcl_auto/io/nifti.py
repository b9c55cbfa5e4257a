"""The voxel values of a NIfTI file, straight from its bytes.

ITK's NIfTI reader fills a truncated file with zeros and turns NaN into 0, both without a word; here the first
is an error and the second stays visible. It is also faster where ``isal`` is installed. Geometry stays ITK's.
"""

import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from mixcl_auto.errors import DataError
from mixcl_auto.io.nifti_header import GZIP_MAGIC, HEADER_BYTES, NiftiHeader

_GZIP_WINDOW = zlib.MAX_WBITS | 16
_BEST_COMPRESSION = 1032
"""Of deflate: no stretch of bytes becomes longer by more than this factor."""

_TYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
"""NIfTI's ``datatype`` codes of one real number per voxel."""


def is_nifti(path: Path) -> bool:
    """Whether the name is that of a single-file NIfTI."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def nifti_values(data: bytes, count: int, path: Path) -> npt.NDArray[Any] | None:
    """The stored values, scaled as the header says, in the order of the file (first axis fastest).

    Args:
        data: the file's bytes, compressed or not.
        count: voxels expected.
        path: for errors.

    Returns:
        A flat array, or None for kinds of voxel that are not one real number.

    Raises:
        DataError: if the file is truncated or damaged.
    """
    compressed = data.startswith(GZIP_MAGIC)
    header = _header(decompress(data, path, HEADER_BYTES) if compressed else data, path)
    if header.datatype not in _TYPES:
        return None
    dtype = np.dtype(header.order + _TYPES[header.datatype])
    needed = header.vox_offset + count * dtype.itemsize
    if compressed:
        data = decompress(data, path, needed)
    missing = needed - len(data)
    if missing > 0:
        raise _truncated(path, f"{missing} of {count * dtype.itemsize} bytes of voxels are missing")
    values = np.frombuffer(data, dtype, count, header.vox_offset)
    slope, intercept = header.slope, header.intercept
    if (slope in (0.0, 1.0) and intercept == 0) or not np.isfinite([slope, intercept]).all():
        return values
    return values * np.float64(slope or 1.0) + np.float64(intercept)


def _header(data: bytes, path: Path) -> NiftiHeader:
    try:
        return NiftiHeader.unpack(data)
    except struct.error:
        raise _truncated(path, "not even a NIfTI header") from None


def decompress(data: bytes, path: Path, most_bytes: int) -> bytes:
    """Decompress gzip up to a length; where it ends before, its checksum and length are checked.

    Args:
        data: one or more members, as ``bgzip`` writes them.
        path: for errors.
        most_bytes: what follows is not decompressed: a small file can hold a thousand times its size.

    Raises:
        DataError: if it is truncated or damaged.
    """
    try:
        return _members(data, most_bytes)
    except (EOFError, OSError, ValueError, zlib.error) as problem:
        raise _truncated(path, str(problem)) from None
    except Exception as problem:
        # isal has an exception class of its own, which is not zlib's
        if type(problem).__module__.startswith(("isal", "igzip")):
            raise _truncated(path, str(problem)) from None
        raise


def _members(data: bytes, most_bytes: int) -> bytes:
    """The content of a gzip file's members, one after the other.

    Raises:
        EOFError: if the last one is cut short.
    """
    parts: list[bytes] = []
    missing = min(most_bytes, _BEST_COMPRESSION * len(data))
    while data.startswith(GZIP_MAGIC) and missing >= 0:
        stream = _gzip_stream()
        # One byte more than wanted shows that the end, and the checksum behind it, was reached.
        part = stream.decompress(data, missing + 1)
        if not stream.eof and len(part) <= missing:
            raise EOFError("the compressed data end too early")
        parts.append(part)
        missing -= len(part)
        data = stream.unused_data.lstrip(b"\0")
    plain = parts[0] if len(parts) == 1 else b"".join(parts)
    return plain[:most_bytes]


def compress(data: bytes) -> bytes:
    """Compress as gzip, without a time stamp, so that equal content gives equal files."""
    library = _gzip_library()
    compressed: bytes = library.compress(data, compresslevel=_level(library), mtime=0)
    return compressed


@contextmanager
def compressing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file as gzip piece by piece, without name and time stamp."""
    library = _gzip_library()
    kind: Any = library.GzipFile if library is gzip else library.IGzipFile
    with (
        path.open("wb") as file,
        kind(filename="", mode="wb", fileobj=file, compresslevel=_level(library), mtime=0) as stream,
    ):
        yield stream


def _level(library: ModuleType) -> int:
    return 6 if library is gzip else 2


def _gzip_library() -> ModuleType:
    """``isal``'s gzip where it is installed (the extra ``fast``), else Python's."""
    try:
        from isal import igzip
    except ImportError:
        return gzip
    library: ModuleType = igzip
    return library


def _gzip_stream() -> Any:
    """A decompressor of one member that takes a limit."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.decompressobj(_GZIP_WINDOW)
    return isal_zlib.decompressobj(_GZIP_WINDOW)


def _truncated(path: Path, detail: str) -> DataError:
    return DataError(f"{path}: truncated or damaged ({detail}); copy or download the file again")
