import ctypes
import os
import pickle
import signal
import time
from multiprocessing.context import ForkContext

import pytest

from mixcl_auto.engines.cause_of_death import MemoryKiller
from mixcl_auto.engines.channel import ChannelClosedError
from mixcl_auto.engines.worker import Worker, end_workers, portable
from mixcl_auto.errors import DataError, RunError


def echo(channel):
    while True:
        channel.send((os.getpid(), channel.receive()))


def hold_still(channel):
    """In C, with the interpreter's lock held and SIGTERM ignored: nothing but SIGKILL ends it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    channel.send("holds still")
    ctypes.PyDLL(None).sleep(600)


def be_slow(channel):
    channel.send("began")
    time.sleep(0.3)
    channel.receive()


@pytest.fixture
def start():
    started = []

    def start(work, *arguments):
        started.append(Worker(ForkContext(), work, arguments, started))
        return started[-1]

    yield start
    end_workers(started, 0)


def test_a_worker_answers_from_a_process_of_its_own(start):
    worker = start(echo)
    worker.channel.send("here")
    process, said = worker.channel.receive()
    assert said == "here"
    assert process != os.getpid()


def test_a_worker_ends_when_its_connection_is_closed_even_if_others_were_forked_later(start):
    first, _, _ = start(echo), start(echo), start(echo)
    first.channel.close()
    first.wait(5)
    assert first.autopsy(MemoryKiller()).cause == "ended by itself, with code 0"


def test_the_cause_of_a_death_is_told_once_the_connection_breaks(start):
    worker = start(echo)
    worker.channel.send(None)
    os.kill(worker.channel.receive()[0], signal.SIGUSR1)
    with pytest.raises(ChannelClosedError):
        worker.channel.receive()
    assert worker.autopsy(MemoryKiller()).cause == "was killed by SIGUSR1"


def test_a_worker_that_only_closes_its_connection_is_ended(start, monkeypatch):
    monkeypatch.setattr("mixcl_auto.engines.worker.DEATH_PATIENCE_S", 0.1)

    def hang_up(channel):
        channel.close()
        time.sleep(600)

    worker = start(hang_up)
    with pytest.raises(ChannelClosedError):
        worker.channel.receive()
    assert worker.autopsy(MemoryKiller()).cause == "closed its connection"


def test_a_worker_that_holds_still_in_c_is_ended_at_once(start):
    worker = start(hold_still)
    assert worker.channel.receive() == "holds still"
    worker.kill()
    worker.kill()
    assert worker.autopsy(MemoryKiller()).cause.startswith("was killed by SIGKILL")


def test_workers_may_finish_and_are_killed_when_patience_ends(start):
    slow, still = start(be_slow), start(hold_still)
    assert (slow.channel.receive(), still.channel.receive()) == ("began", "holds still")
    end_workers([slow, still], 1)
    assert slow.autopsy(MemoryKiller()).cause == "ended by itself, with code 0"
    assert still.autopsy(MemoryKiller()).cause.startswith("was killed by SIGKILL")


def raised(error):
    try:
        raise error
    except type(error) as caught:
        return caught


class UnpicklableError(Exception):
    def __init__(self, first, second):
        super().__init__(first)


def test_an_error_travels_with_its_traceback_as_a_note():
    error = pickle.loads(pickle.dumps(portable(raised(DataError("case 3: damaged")))))
    assert type(error) is DataError
    assert str(error) == "case 3: damaged"
    assert "in raised" in error.__notes__[0]


def test_an_error_that_can_not_travel_is_told_by_one_that_can():
    error = portable(raised(UnpicklableError("lost", "half")))
    assert isinstance(error, RunError)
    assert "UnpicklableError('lost')" in str(error)
    assert "in raised" in str(error)
    assert str(portable(KeyboardInterrupt())) == "KeyboardInterrupt()"
