import os
import pickle
import signal
import sys
import threading
from pathlib import Path

import pytest
from processes import is_alive, wait_for_line, wait_until

from mixcl_auto.engines.command import PARENT, PYTHON, Command, CommandError, stop

SAVES_AT_SIGTERM = """
import signal, sys, time
def save(*_):
    print("saved", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("running", flush=True)
time.sleep(600)
"""
IGNORES_SIGTERM = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("running", flush=True)
time.sleep(600)
"""


@pytest.fixture
def log(tmp_path):
    return tmp_path / "logs" / "run.log"


def python(code, log, *arguments, **options):
    return Command((PYTHON, "-c", code, *arguments), log, "fold 0", **options)


def test_the_log_has_a_header_then_what_the_program_wrote(log):
    python("import sys; print('to stdout', flush=True); print('to stderr', file=sys.stderr)", log).run()
    header, *lines = log.read_text().splitlines()
    assert header.startswith("##### 20")
    assert f": {sys.executable} -c" in header
    assert lines == ["to stdout", "to stderr"]


def test_an_error_has_the_code_and_the_end_of_this_attempt_only(log):
    with pytest.raises(CommandError):
        python("print('earlier'); raise SystemExit(1)", log).run()
    expected = rf"fold 0 ended with code 3; the end of {log}:\nline 10\n"
    with pytest.raises(CommandError, match=expected) as caught:
        python("print(*(f'line {n}' for n in range(30)), sep='\\n'); raise SystemExit(3)", log).run()
    assert caught.value.code == 3
    assert caught.value.log_end.splitlines() == [f"line {n}" for n in range(10, 30)]
    assert "earlier" in log.read_text()
    with pytest.raises(CommandError, match=r"\(nothing was written\)"):
        python("raise SystemExit(1)", log).run()


def test_a_killed_program_is_said_to_be_killed(log):
    with pytest.raises(CommandError, match="fold 0 was killed by SIGKILL; the end of") as caught:
        python("import os; os.kill(os.getpid(), 9)", log).run()
    assert caught.value.code == -signal.SIGKILL


def test_an_error_survives_pickling():
    error = pickle.loads(pickle.dumps(CommandError("fold 0 ended with code 3", 3, "the end")))
    assert (str(error), error.code, error.log_end) == ("fold 0 ended with code 3", 3, "the end")


def test_the_program_gets_a_session_its_variables_and_its_parents_id(log):
    code = (
        "import os, sys; print(os.getsid(0) == os.getpid(), os.environ['ONE'], sys.argv[1], sys.stdin.read())"
    )
    command = python(code, log, PARENT, environment={"ONE": "1"})
    assert command.outcome(command.start()).error is None
    assert log.read_text().splitlines()[-1] == f"True 1 {os.getpid()} "


def test_a_program_that_is_not_there_is_an_os_error(log):
    with pytest.raises(OSError, match="no-such-program"):
        Command(("no-such-program",), log, "fold 0").run()


def test_an_interruption_lets_the_program_save_first(log):
    def interrupt():
        wait_for_line(log, "running")
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        python(SAVES_AT_SIGTERM, log).run()
    thread.join()
    assert log.read_text().splitlines()[-1] == "saved"


def test_a_program_that_does_not_stop_is_killed_with_its_children(log):
    child = "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True)"
    command = python(child + IGNORES_SIGTERM, log)
    process = command.start()
    wait_for_line(log, "running")
    stop([process], patience_s=0.2)
    assert process.returncode == -signal.SIGKILL
    grandchild = int(log.read_text().splitlines()[1])
    wait_until(lambda: not is_alive(grandchild))


def test_stop_leaves_ended_programs_alone(log):
    command = python("pass", log)
    process = command.start()
    process.wait()
    stop([process])
    assert command.outcome(process).error is None
    assert Path(log).exists()
