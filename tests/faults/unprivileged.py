"""Commands in a process to which folders without permission are closed, also where the tests run as root."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_DROP_RIGHTS = """\
import ctypes, os, sys

DROP_FROM_BOUNDING_SET, DAC_OVERRIDE, DAC_READ_SEARCH = 24, 1, 2
if os.getuid() == 0:  # the administrator's right to pass over permissions is lost from the next program on
    for right in (DAC_OVERRIDE, DAC_READ_SEARCH):
        ctypes.CDLL(None).prctl(DROP_FROM_BOUNDING_SET, right, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
"""
_PROGRAM = """\
import json, sys
from click.testing import CliRunner
from mixcl_auto.cli.main import cli

for arguments in json.loads(sys.argv[1]):
    done = CliRunner().invoke(cli, arguments)
    print("ended:", json.dumps([done.exit_code, done.output]), flush=True)
"""


def run_unprivileged(commands: Sequence[Sequence[object]]) -> list[tuple[int, str]]:
    """Give commands one after the other; their exit codes, and what they said on one line."""
    arguments = json.dumps([list(map(str, command)) for command in commands])
    done = subprocess.run(
        [sys.executable, "-c", _DROP_RIGHTS, _PROGRAM, arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [json.loads(line[7:]) for line in done.stdout.splitlines() if line.startswith("ended: ")]
    assert len(lines) == len(commands), done.stderr
    return [(code, " ".join(output.split())) for code, output in lines]


def close(folder: Path) -> None:
    """Let nobody write into a folder and those below it; links are left alone."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o555)


def reopen(folder: Path) -> None:
    """Undo ``close``."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
