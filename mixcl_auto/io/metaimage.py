"""Compressed MetaImage files (.mha, .mhd), whose damage ITK prints on stderr and passes over.

ITK fills the voxels after the damage with whatever the memory held.
"""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mixcl_auto.errors import DataError

_LONGEST_HEADER = 200
"""In lines; the last one is ``ElementDataFile``."""
_STRETCH_BYTES = 1 << 20


def is_metaimage(path: Path) -> bool:
    """Whether the name is that of a MetaImage."""
    return path.name.lower().endswith((".mha", ".mhd"))


def check_compressed(path: Path) -> None:
    """See that the voxels, where they are compressed, can be decompressed to their end.

    Raises:
        DataError: if not.
    """
    with path.open("rb") as file:
        fields = dict(_fields(file))
        if fields.get(b"CompressedData", b"").lower() != b"true":
            return
        name = fields.get(b"ElementDataFile", b"")
        if name.upper() in (b"LOCAL", b"LOCALE"):
            _check_stream(file, path)
            return
    data = path.parent / os.fsdecode(name)
    if data.is_file():  # several files, and a missing one, are ITK's to judge
        with data.open("rb") as stream:
            _check_stream(stream, path)


def _fields(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """The header's ``key = value`` lines; the file then stands at the voxels of an ``.mha``."""
    for _ in range(_LONGEST_HEADER):
        key, _, value = file.readline().partition(b"=")
        yield key.strip(), value.strip()
        if key.strip() == b"ElementDataFile":
            return


def _check_stream(stream: BinaryIO, path: Path) -> None:
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 32)  # zlib's header or gzip's
    reason = "the compressed voxels end too early"
    try:
        while not decompressor.eof and (stretch := stream.read(_STRETCH_BYTES)):
            decompressor.decompress(stretch)
    except zlib.error as problem:
        reason = str(problem)
    if not decompressor.eof:
        raise DataError(f"{path}: truncated or damaged ({reason}); copy or download the file again")
