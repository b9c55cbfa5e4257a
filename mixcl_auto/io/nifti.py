"""The voxel values of a NIfTI file, straight from its bytes.

ITK's NIfTI reader fills a truncated file with zeros and turns NaN into 0, both without a word; here the first
is an error and the second stays visible. It is also faster where ``isal`` is installed. Geometry stays ITK's.
"""

import gzip
import re
import struct
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from mixcl_auto.errors import DataError
from mixcl_auto.io.nifti_header import GZIP_MAGIC, HEADER_BYTES, NiftiHeader
from mixcl_auto.io.voxel_values import scaled_values

_GZIP_WINDOW = zlib.MAX_WBITS | 16
_FIRST_WINDOW_BYTES = 1 << 14
_LARGEST_WINDOW_BYTES = 1 << 20
_LARGEST_PIECE_BYTES = 1 << 22
_CHECKED_BEYOND_BYTES = 64_000_000
"""What may follow the voxels until the check sum: a small file can hold a thousand times its size."""
_ZEROS = re.compile(rb"\0*")

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
        A flat array, of the stored numbers' type or, if they were scaled, as ``scaled_values`` gives them;
        or None for kinds of voxel that are not one real number.

    Raises:
        DataError: if the file is truncated or damaged.
    """
    compressed = data.startswith(GZIP_MAGIC)
    header = _header(
        bytes(decompress(data, path, HEADER_BYTES, checked_bytes=0)) if compressed else data, path
    )
    if header.datatype not in _TYPES:
        return None
    dtype = np.dtype(header.order + _TYPES[header.datatype])
    needed = header.vox_offset + count * dtype.itemsize
    content = decompress(data, path, needed) if compressed else data
    missing = needed - len(content)
    if missing > 0:
        raise _truncated(path, f"{missing} of {count * dtype.itemsize} bytes of voxels are missing")
    values = np.frombuffer(content, dtype, count, header.vox_offset)
    slope, intercept = header.slope, header.intercept
    if (slope in (0.0, 1.0) and intercept == 0) or not np.isfinite([slope, intercept]).all():
        return values
    return scaled_values(values, slope or 1.0, intercept)


def _header(data: bytes, path: Path) -> NiftiHeader:
    try:
        return NiftiHeader.unpack(data)
    except struct.error:
        raise _truncated(path, "not even a NIfTI header") from None


def decompress(
    data: bytes, path: Path, most_bytes: int, *, checked_bytes: int = _CHECKED_BEYOND_BYTES
) -> bytearray:
    """Decompress gzip up to a length; its check sums hold as far as it was read.

    Args:
        data: one or more members, as ``bgzip`` writes them.
        path: for errors.
        most_bytes: wanted of the content.
        checked_bytes: how much that follows is decompressed as well, and thrown away, since the check sum
            of a member comes at its end.

    Raises:
        DataError: if it is truncated or damaged, or something else follows.
    """
    try:
        return _content(data, most_bytes, checked_bytes)
    except (EOFError, OSError, ValueError, zlib.error) as problem:
        raise _truncated(path, str(problem)) from None
    except Exception as problem:
        # isal has an exception class of its own, which is not zlib's
        if type(problem).__module__.startswith(("isal", "igzip")):
            raise _truncated(path, str(problem)) from None
        raise


def _content(data: bytes, most_bytes: int, checked_bytes: int) -> bytearray:
    content = bytearray()
    passed_bytes = 0
    for piece in _pieces(data):
        missing = most_bytes - len(content)
        content += piece if len(piece) <= missing else piece[:missing]
        passed_bytes += len(piece)
        if passed_bytes >= most_bytes + checked_bytes:
            break
    return content


def _pieces(data: bytes) -> Iterator[bytes]:
    """The content of a gzip file's members, one after the other; zeros may lie between and after them.

    Raises:
        EOFError: if the last one is cut short.
        ValueError: if something that is not gzip follows.
    """
    position = 0
    while position < len(data):
        if not data.startswith(GZIP_MAGIC, position):
            raise ValueError("something else follows the compressed data")
        position = yield from _member(data, position)
        zeros = _ZEROS.match(data, position)
        position = zeros.end() if zeros else position


def _member(data: bytes, position: int) -> Generator[bytes, None, int]:
    """The content of the member that begins at a position, piece by piece; returns where it ends.

    The decompressor copies what it was given and did not use, so it is given little: at first less than
    ``bgzip`` puts into a member, then more and more.
    """
    stream, window = _gzip_stream(), _FIRST_WINDOW_BYTES
    while not stream.eof:
        with memoryview(data)[position : position + window] as given:
            piece = stream.decompress(given, _LARGEST_PIECE_BYTES)
            # at the end zlib repeats the one in the other
            left = stream.unused_data if stream.eof else stream.unconsumed_tail
            position += len(given) - len(left)
            if not (given or piece or stream.eof):
                raise EOFError("the compressed data end too early")
        yield piece
        window = min(2 * window, _LARGEST_WINDOW_BYTES)
    return position


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
