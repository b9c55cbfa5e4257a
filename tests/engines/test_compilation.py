import os
import subprocess
import sys

SCRIPT = """
import logging
from mixcl_auto.engines.compilation import telling_of_compilation
from mixcl_auto.preprocessing.warm_up import warm_up

logging.basicConfig(level=logging.INFO, format="%(message)s")
for _ in range(2):
    with telling_of_compilation():
        warm_up()
"""


def lines(cache):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
    )
    return done.stderr.splitlines()


def test_only_the_first_run_tells_that_it_compiles_and_once(tmp_path):
    (line,) = lines(tmp_path)
    assert line.startswith("compiling the kernels: takes some seconds, once per installation and machine")
    assert lines(tmp_path) == []
