import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "kill_points.py"
STRIDE = 1 if os.environ.get("KILL_POINTS") == "all" else 8
"""``make soak`` tries all points."""


@pytest.mark.slow
@pytest.mark.parametrize("work", ["pretraining", "finetuning"])
def test_a_run_that_is_killed_where_it_touches_the_disk_ends_as_if_undisturbed(tmp_path, work):
    command = [sys.executable, str(SCRIPT), work, str(tmp_path), "--stride", str(STRIDE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    killed = re.search(r"killed at (\d+) points", done.stdout)
    assert killed is not None
    assert int(killed[1]) * STRIDE > 20
