import os
import subprocess
import sys
import time

from processes import wait_for_line

from mixcl_auto.engines.command import PARENT, PYTHON, Command
from mixcl_auto.errors import RESUME_CODE

TETHERED = """
import signal, sys, time
from mixcl_auto.engines.tether import end_with_parent
def save(*_):
    print("saved", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
end_with_parent(int(sys.argv[1]))
print("running", flush=True)
time.sleep(600)
"""

PARENT_CODE = """
import sys, time
from pathlib import Path
from mixcl_auto.engines.command import PARENT, PYTHON, Command
Command((PYTHON, "-c", sys.argv[1], PARENT), Path(sys.argv[2]), "run").start()
time.sleep(600)
"""


def test_a_program_saves_and_ends_when_its_parent_is_killed(tmp_path):
    log = tmp_path / "log"
    parent = subprocess.Popen([sys.executable, "-c", PARENT_CODE, TETHERED, str(log)])
    try:
        wait_for_line(log, "running")
        assert log.read_text().splitlines()[1:] == ["running"]
    finally:
        parent.kill()
        parent.wait()
    wait_for_line(log, "saved")


def test_a_parent_that_was_gone_before_is_noticed(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    log = tmp_path / "log"
    command = Command((PYTHON, "-c", TETHERED, str(gone.pid)), log, "run")
    assert command.outcome(command.start()).error is None
    assert log.read_text().splitlines()[-1] == "saved"


def test_the_command_line_is_tethered(tmp_path):
    """A command that would wait for ever ends as by SIGTERM when its alleged parent is none."""
    code = "import time, mixcl_auto.cli.main as m; m.can_keep_kernels = lambda: time.sleep(600); m.main()"
    alive, gone = (
        Command((PYTHON, "-c", code, "--tethered", parent, "doctor"), tmp_path / "log", "run")
        for parent in (PARENT, str(os.getpid() + 2**22))
    )
    assert gone.outcome(gone.start()).error.code == RESUME_CODE
    process = alive.start()
    time.sleep(1.5)
    assert process.poll() is None
    process.kill()
    process.wait()
