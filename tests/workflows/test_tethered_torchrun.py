import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

RANK = """\
import os, signal, sys, time
from pathlib import Path

folder = Path(sys.argv[1])

def stop(number, frame):
    (folder / f"stopped_{os.environ['RANK']}").touch()
    sys.exit(1)

signal.signal(signal.SIGTERM, stop)
(folder / f"started_{os.environ['RANK']}").touch()
time.sleep(120)
"""

STARTER = """\
import os, subprocess, sys

program = [sys.executable, "-m", "mixcl_auto.workflows.tethered_torchrun", str(os.getpid())]
options = ["--standalone", "--nproc-per-node", "2"]
process = subprocess.Popen([*program, *options, *sys.argv[1:]], start_new_session=True)
print(process.pid, flush=True)
process.wait()
"""


def wait_for(folder: Path, what: str) -> set[str]:
    deadline = time.monotonic() + 90
    while len(found := {path.name for path in folder.glob(f"{what}_*")}) < 2:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def test_the_processes_of_a_training_stop_when_the_starter_of_torchrun_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "rank.py"
    script.write_text(RANK)
    command = [sys.executable, "-c", STARTER, str(script), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        torchrun = int(starter.stdout.readline())
        try:
            assert wait_for(tmp_path, "started") == {"started_0", "started_1"}
            starter.kill()
            assert wait_for(tmp_path, "stopped") == {"stopped_0", "stopped_1"}
        finally:
            with suppress(ProcessLookupError):
                os.killpg(torchrun, signal.SIGKILL)


FAILING_RANK = """\
import os, sys

if os.environ["RANK"] == "1":
    print("Error: process 1 of 2: this scan can't be read", file=sys.stderr)
    sys.exit(1)
"""


def test_a_failed_process_has_the_last_word(tmp_path: Path) -> None:
    script = tmp_path / "rank.py"
    script.write_text(FAILING_RANK)
    program = [sys.executable, "-m", "mixcl_auto.workflows.tethered_torchrun", str(os.getpid())]
    command = [*program, "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 1
    assert "this scan can't be read" in done.stderr
    assert "Root Cause" not in done.stderr
    assert "Traceback" not in done.stderr
