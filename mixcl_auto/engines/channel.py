"""Hand values from one process of this machine to another, so that neither can make the other wait for ever.

A value travels as an open file that has no name; what goes through the socket is that file and a few bytes of
header, which arrive at once or not at all. A process that dies or stops half-way through a large value thus
leaves no half a message for the other to wait for, and no lock that others need. Large arrays are mapped by
the receiver, not copied. Such a file lies in memory, but not in ``/dev/shm``, which containers keep small.
"""

import errno
import mmap
import os
import pickle
import selectors
import socket
import struct
import tempfile
from collections.abc import Sequence
from typing import Any

_HEADER = struct.Struct("<qq")
"""Where the pickle begins in the file, and where it ends; the arrays come before it."""
_ALIGNMENT = 64
"""Bytes that every array's start is a multiple of."""


class ChannelClosedError(Exception):
    """The process at the other end has ended, or has closed its end."""


class Channel:
    """One end of a connection between two processes; it may be an argument of a process that starts."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def fileno(self) -> int:
        """For ``selectors``."""
        return self._socket.fileno()

    def send(self, value: Any) -> None:
        """Send a picklable value; the receiver gets its NumPy arrays without a copy.

        Raises:
            ChannelClosedError: if nobody is at the other end any more.
            OSError: if there is no memory left for the value.
        """
        arrays: list[pickle.PickleBuffer] = []
        pickled = pickle.dumps(value, protocol=5, buffer_callback=arrays.append)
        file = _nameless_file()
        try:
            header = _write(file, pickled, [array.raw() for array in arrays])
            socket.send_fds(self._socket, [header], [file])
        except (BrokenPipeError, ConnectionResetError) as problem:
            raise ChannelClosedError from problem
        finally:
            os.close(file)

    def receive(self) -> Any:
        """The next value, as soon as there is one; only for values of a process that is trusted.

        Raises:
            ChannelClosedError: if the other end is closed and everything from there has been received.
            OSError: if this process has as many files open as it may.
        """
        try:
            header, files, _, _ = socket.recv_fds(self._socket, _HEADER.size, 1)
        except ConnectionResetError as problem:
            raise ChannelClosedError from problem
        try:
            if len(header) != _HEADER.size:
                raise ChannelClosedError
            if not files:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return _read(files[0], *_HEADER.unpack(header))
        finally:
            for file in files:
                os.close(file)

    def close(self) -> None:
        """Close this end; the other one then has nothing more to wait for."""
        self._socket.close()


def ready_channels(channels: Sequence[Channel], seconds: float) -> list[Channel]:
    """Those on which something has come, or whose other end has closed, as soon as there is one.

    Args:
        channels: to wait for.
        seconds: how long at most.
    """
    with selectors.DefaultSelector() as selector:
        for number, channel in enumerate(channels):
            selector.register(channel, selectors.EVENT_READ, number)
        return [channels[key.data] for key, _ in selector.select(seconds)]


def channel_pair() -> tuple[Channel, Channel]:
    """Two ends of a new connection."""
    first, second = socket.socketpair()
    return Channel(first), Channel(second)


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("mixcl_auto")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _write(file: int, pickled: bytes, arrays: Sequence[memoryview]) -> bytes:
    """Write the arrays, then where they lie with the pickle that refers to them; returns the header."""
    places = []
    with open(file, "wb", closefd=False) as output:
        for array in arrays:
            output.seek(-(-output.tell() // _ALIGNMENT) * _ALIGNMENT)
            places.append((output.tell(), array.nbytes))
            output.write(array)
        first = output.tell()
        pickle.dump((places, pickled), output)
        return _HEADER.pack(first, output.tell())


def _read(file: int, first: int, end: int) -> Any:
    mapped = memoryview(mmap.mmap(file, end))  # lives as long as an array on it
    places, pickled = pickle.loads(mapped[first:end])
    return pickle.loads(pickled, buffers=[mapped[start : start + size] for start, size in places])
