import socket
from pathlib import Path

import numpy as np
import pytest

from mixcl_auto.engines.channel import Channel, ChannelClosedError, channel_pair, ready_channels


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_value_arrives_equal_with_its_arrays():
    first, second = channel_pair()
    image = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    first.send(("case", {"image": image, "empty": np.zeros((0, 3)), "labels": np.ones(5, np.uint8)}, None))
    name, arrays, nothing = second.receive()
    assert (name, nothing) == ("case", None)
    np.testing.assert_array_equal(arrays["image"], image)
    assert arrays["image"].dtype == np.float32
    assert arrays["empty"].shape == (0, 3)
    np.testing.assert_array_equal(arrays["labels"], np.ones(5, np.uint8))


def test_received_arrays_are_aligned_and_may_be_written_to():
    first, second = channel_pair()
    first.send([np.ones(3, np.uint8), np.ones(2)])
    for array in second.receive():
        assert array.ctypes.data % 64 == 0
        array += 1
        assert array.tolist() == [2] * len(array)


def test_a_large_value_does_not_wait_for_its_receiver():
    """In a pipe it would: such a sender stands still for ever when the receiver does."""
    first, second = channel_pair()
    for _ in range(3):
        first.send(np.zeros(10_000_000, np.uint8))
    assert second.receive().nbytes == 10_000_000


def test_what_was_sent_before_the_end_still_arrives():
    first, second = channel_pair()
    second.send("unread")
    first.send(1)
    first.close()
    assert second.receive() == 1
    with pytest.raises(ChannelClosedError):
        second.receive()
    with pytest.raises(ChannelClosedError):
        second.send(2)


def test_half_a_header_counts_as_closed():
    first, second = socket.socketpair()
    first.send(b"1234")
    with pytest.raises(ChannelClosedError):
        Channel(second).receive()


def test_a_value_whose_file_can_not_be_opened_is_no_closed_channel():
    first, second = socket.socketpair()
    first.send(bytes(16))  # as a header comes to a process that may open no more files
    with pytest.raises(OSError, match="Too many open files"):
        Channel(second).receive()


def test_ready_channels_are_those_with_a_value_or_without_a_sender():
    pairs = [channel_pair() for _ in range(3)]
    receivers = [second for _, second in pairs]
    assert ready_channels(receivers, 0) == []
    pairs[0][0].send(1)
    pairs[2][0].close()
    assert ready_channels(receivers, 0) == [receivers[0], receivers[2]]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
def test_no_file_stays_open_once_the_value_is_gone():
    first, second = channel_pair()
    before = open_files()
    for _ in range(3):
        first.send(np.zeros(100))
        second.receive()
    with pytest.raises(AttributeError):  # a local function can't be pickled
        first.send(lambda: None)
    assert open_files() == before
