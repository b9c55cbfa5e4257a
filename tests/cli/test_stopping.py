import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import click
import pytest
from click.testing import CliRunner

from mixcl_auto.cli import main as main_module
from mixcl_auto.cli.stopping import Duration, StopRequest, stop_in_order
from mixcl_auto.errors import RESUME_CODE

WAITS = """\
import sys, time
from unittest import mock
import click
from mixcl_auto.cli import main
from mixcl_auto.cli.options import max_time_option

@click.command("doctor")
@max_time_option
def doctor():
    print("works", flush=True)
    for _ in range(600):  # a signal between two calls waits for the next: one long sleep would hold it up
        time.sleep(0.1)

with mock.patch("importlib.import_module", lambda name: mock.Mock(doctor=doctor)):
    main.main()
"""


def waiting(*arguments: str, **options: object) -> "subprocess.Popen[str]":
    """The program, in a command that waits for a minute."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS, "doctor", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "works\n", process.stderr and process.stderr.read()
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_a_command_with_a_message_and_the_code_that_says_resume_me(
    number: signal.Signals,
) -> None:
    with waiting() as process:
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    what = "Ctrl-C" if number == signal.SIGINT else number.name
    message = f"Error: stopped by {what}; what is finished is kept: run the same command again for the rest\n"
    assert (process.returncode, said) == (RESUME_CODE, message)


def test_max_time_ends_a_command_in_the_same_way() -> None:
    with waiting("--max-time", "1s") as process:
        _, said = process.communicate(timeout=30)
    assert process.returncode == RESUME_CODE
    assert "stopped by --max-time; what is finished is kept" in said


def test_a_second_signal_does_not_change_the_exit_code() -> None:
    with waiting() as process:
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert "stopped by SIGTERM" in process.stderr.readline()
        while process.poll() is None:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.01)
    assert process.returncode == RESUME_CODE


def test_max_time_counts_where_alarms_are_ignored() -> None:
    with waiting(
        "--max-time", "1s", preexec_fn=lambda: signal.signal(signal.SIGALRM, signal.SIG_IGN)
    ) as process:
        process.communicate(timeout=30)
    assert process.returncode == RESUME_CODE


def test_a_lost_terminal_leaves_the_exit_code() -> None:
    terminal, theirs = pty.openpty()
    command = [sys.executable, "-c", WAITS, "doctor"]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs) as process:
        os.close(theirs)
        said = b""
        while not said.endswith(b"\n"):  # a terminal hands a line over in pieces
            said += os.read(terminal, 100)
        os.close(terminal)
        process.send_signal(signal.SIGHUP)
        process.wait(timeout=30)
    assert process.returncode == RESUME_CODE


def test_nohup_keeps_a_command_going_without_its_terminal() -> None:
    with waiting(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as process:
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert process.poll() is None
        process.kill()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90m", 5400),
        ("11h30m", 41_400),
        ("1d", 86_400),
        ("1D2h3m4s", 93_784),
        ("45s", 45),
        ("11:30:00", 41_400),
        ("1-00:00:30", 86_430),
    ],
)
def test_lengths_of_time(text: str, seconds: int) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize(
    "text", ["", "90", "0m", "-5m", "1.5h", "m", "30m2h", "99999999999d", "1:99:00", "soon"]
)
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no length of time; write 90m, 11h30m, 1d or 11:30:00"):
        Duration().convert(text, None, None)


def test_signals_are_given_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    give_back = stop_in_order()
    with pytest.raises(StopRequest, match="SIGUSR1"):
        os.kill(os.getpid(), signal.SIGUSR1)
    give_back()
    assert signal.getsignal(signal.SIGUSR1) is before


def test_a_command_in_process_leaves_the_signals_as_they_were() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGALRM)}
    assert CliRunner().invoke(main_module.cli, ["report", "--help"]).exit_code == 0
    assert {number: signal.getsignal(number) for number in before} == before


def test_a_log_without_a_reader_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(main_module.click, "echo", fail)
    handler: Callable[..., None] = main_module.EchoHandler().emit
    handler(main_module.logging.LogRecord("mixcl_auto", 20, "", 0, "said", None, None))
