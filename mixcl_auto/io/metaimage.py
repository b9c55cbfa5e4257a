"""Compressed MetaImage files (.mha, .mhd), whose damage ITK prints on stderr and passes over.

ITK fills the voxels after the damage, or after the end, with whatever the memory held.
"""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mixcl_auto.errors import DataError
from mixcl_auto.io.detached import field_of, header_lines, is_true
from mixcl_auto.records.names import shown

_STRETCH_BYTES = 1 << 20


def is_metaimage(path: Path) -> bool:
    """Whether the name is that of a MetaImage."""
    return path.name.lower().endswith((".mha", ".mhd"))


def check_compressed(path: Path, needed_bytes: int) -> None:
    """See that the voxels, where they are compressed, can be decompressed to their end and are all there.

    Args:
        path: of the header, which names no file that is not there.
        needed_bytes: of all voxels.

    Raises:
        DataError: if not.
    """
    with path.open("rb") as file:
        fields = dict(_fields(file, path))
        if not is_true(fields.get(b"compresseddata")):
            return
        name = fields.get(b"elementdatafile", b"")
        data = path if name.upper() in (b"LOCAL", b"LOCALE") else path.parent / os.fsdecode(name)
        length = _length(fields.get(b"compresseddatasize", b"0"), data, path)
        if data == path:
            _check_stream(file, path, needed_bytes, length)
            return
    with data.open("rb") as stream:
        _check_stream(stream, path, needed_bytes, length)


def _length(declared: bytes, data: Path, path: Path) -> int:
    """The length of the compressed voxels, which ITK asks memory for, and no more of them does it read.

    Raises:
        DataError: if the file is shorter, or if the header does not say it, and they follow the header.
    """
    if not declared.isdigit() or len(declared) > 18 or int(declared) > data.stat().st_size:
        raise DataError(
            f"{path}: truncated or damaged ({data.name} has {data.stat().st_size} bytes, CompressedDataSize "
            f"is {shown(declared.decode('latin-1'))}); copy or download the file again"
        )
    if int(declared) == 0 and data == path:
        raise DataError(
            f"{path}: the header lacks CompressedDataSize, and ITK then makes the voxels up; write the file "
            "again with ITK, or uncompressed"
        )
    return int(declared) or data.stat().st_size


def _fields(file: BinaryIO, path: Path) -> Iterator[tuple[bytes, bytes]]:
    """The header's keys, in lower case, and values; the file then stands at the voxels of an ``.mha``."""
    for line in header_lines(file, path):
        key, value = field_of(line)
        yield key, value
        if key == b"elementdatafile":
            return


def _check_stream(stream: BinaryIO, path: Path, needed_bytes: int, length: int) -> None:
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 32)  # zlib's header or gzip's
    found_bytes, waiting = 0, b""
    reason = "the compressed voxels end too early"
    try:
        while not decompressor.eof and found_bytes <= needed_bytes:
            stretch = waiting or stream.read(min(_STRETCH_BYTES, length))
            if not stretch:
                break
            length -= 0 if waiting else len(stretch)
            found_bytes += len(decompressor.decompress(stretch, _STRETCH_BYTES))
            waiting = decompressor.unconsumed_tail
    except zlib.error as problem:
        reason = str(problem)
    else:
        if found_bytes != needed_bytes and (decompressor.eof or found_bytes > needed_bytes):
            more = "more than " if found_bytes > needed_bytes else ""
            reason = f"{more}{min(found_bytes, needed_bytes)} bytes of voxels, the header says {needed_bytes}"
        elif decompressor.eof:
            return
    raise DataError(f"{path}: truncated or damaged ({reason}); copy or download the file again")
