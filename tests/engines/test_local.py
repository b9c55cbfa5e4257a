import signal
import time

import pytest

from mixcl_auto.engines.call import Call
from mixcl_auto.engines.command import PYTHON, Command
from mixcl_auto.engines.engine import Resources
from mixcl_auto.engines.local import LocalEngine
from mixcl_auto.errors import RunError

SAVES = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (print('saved'), sys.exit(0)));"
    "print('running', flush=True); time.sleep(600)"
)
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('running', flush=True);"
    "time.sleep(600)"
)
WAITS = "import sys, time\nfrom pathlib import Path\nwhile not Path(sys.argv[1]).exists(): time.sleep(0.02)"
SHOWS_DEVICES = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'))"


@pytest.fixture
def command(tmp_path):
    def make(name, code, *arguments):
        return Command((PYTHON, "-c", code, *map(str, arguments)), tmp_path / f"{name}.log", name)

    return make


def lines(command):
    return command.log.read_text().splitlines()[1:]


def drained(engine):
    outcomes = []
    while (outcome := engine.wait()) is not None:
        outcomes.append(outcome)
    return outcomes


def wait_for_line(engine, command, line):
    deadline = time.monotonic() + 60
    while not (command.log.exists() and line in lines(command)):
        assert engine.wait(0.05) is None
        assert time.monotonic() < deadline, f"no line {line!r} within a minute"


def test_outcomes_belong_to_their_commands(command):
    good, bad = command("good", "pass"), command("bad", "print('no data'); raise SystemExit(2)")
    missing = Command(("no-such-program",), good.log, "missing")
    with LocalEngine(cores=1) as engine:
        for one in (good, bad, missing):
            engine.submit(one, Resources())
        found = {outcome.task.name: outcome.error for outcome in drained(engine)}
    assert found["good"] is None
    assert str(found["bad"]).endswith("bad.log:\nno data")
    assert "missing: can't be started" in str(found["missing"])
    assert len(found) == 3


def test_commands_start_in_order_and_none_is_overtaken(command, tmp_path):
    first, large, small = (
        command("first", WAITS, tmp_path / "go"),
        command("large", "0"),
        command("small", "0"),
    )
    with LocalEngine(cores=2) as engine:
        engine.submit(first, Resources(1))
        engine.submit(large, Resources(2))
        engine.submit(small, Resources(1))
        assert engine.wait(0.5) is None
        assert first.log.exists()
        assert not large.log.exists()
        assert not small.log.exists()
        (tmp_path / "go").touch()
        assert [outcome.task.name for outcome in drained(engine)] == ["first", "large", "small"]


def test_a_command_that_fits_runs_beside_the_others(command, tmp_path):
    first, second = command("first", WAITS, tmp_path / "go"), command("second", "pass")
    with LocalEngine(cores=2) as engine:
        engine.submit(first, Resources(1))
        engine.submit(second, Resources(1))
        assert engine.wait().task is second
        (tmp_path / "go").touch()
        assert engine.wait().task is first
        assert engine.wait() is None


@pytest.mark.parametrize(
    ("devices", "gpus", "shown"),
    [
        (("3", "5"), 1, ["3", "5"]),
        (("3",), 0.5, ["3", "3"]),
        (("3", "5"), 2, ["3,5", "3,5"]),
        (("3",), 0, ["", ""]),
    ],
)
def test_a_command_sees_its_devices_and_no_others(command, devices, gpus, shown):
    commands = [command(name, SHOWS_DEVICES) for name in "ab"]
    with LocalEngine(cores=2, devices=devices) as engine:
        for one in commands:
            engine.submit(one, Resources(1, gpus=gpus))
        drained(engine)
    assert sorted(lines(one)[0] for one in commands) == shown


def test_a_machine_without_devices_leaves_the_variable_alone(command, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "as it was")
    one = command("one", SHOWS_DEVICES)
    with LocalEngine(cores=1) as engine:
        engine.submit(one, Resources())
        drained(engine)
    assert lines(one) == ["as it was"]


def test_closing_lets_commands_save_kills_the_stubborn_and_drops_the_waiting(command):
    saves, stubborn, waiting = command("saves", SAVES), command("stubborn", STUBBORN), command("waiting", "0")
    engine = LocalEngine(cores=2)
    for one in (saves, stubborn, waiting):
        engine.submit(one, Resources())
    wait_for_line(engine, saves, "running")
    wait_for_line(engine, stubborn, "running")
    processes = [one.process for one in engine._running]
    engine.close(patience_s=0.5)
    engine.close()
    assert lines(saves)[-1] == "saved"
    assert [process.returncode for process in processes] == [0, -signal.SIGKILL]
    assert not waiting.log.exists()
    assert engine.wait() is None
    assert engine.capacity(Resources()) == 2


def test_what_can_never_run_is_refused(command):
    engine = LocalEngine(cores=1)
    with pytest.raises(RunError, match="takes 1 GPUs and this machine offers 0"):
        engine.submit(command("one", "pass"), Resources(gpus=1))
    with pytest.raises(TypeError, match="four: the local engine runs a Command, got Call"):
        engine.submit(Call(abs, 4, "four"), Resources())
