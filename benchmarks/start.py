"""How long a user waits for help: a whole process of the command line, beside nnU-Net's."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.measure import Row, finish, limit_row, parser, speed_row, time_in_turn
from benchmarks.peers import require

LIMIT_S = 0.5
HEAVY = ("torch", "monai", "numba", "SimpleITK", "pandas", "scipy")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    chosen = parser(__doc__, rounds=7).parse_args(arguments)
    require("nnunetv2")
    commands = Path(sys.executable).parent
    help_of = {
        "mixcl_auto": [str(commands / "mixcl_auto"), "--help"],
        "mixcl_auto pretrain": [str(commands / "mixcl_auto"), "pretrain", "--help"],
        "nnUNetv2_train": [str(commands / "nnUNetv2_train"), "--help"],
    }
    seconds = time_in_turn(
        {name: _process(command) for name, command in help_of.items()}, rounds=chosen.rounds
    )
    rows = [
        limit_row(f"{name} --help", sorted(seconds[name])[len(seconds[name]) // 2], "s", at_most=LIMIT_S)
        for name in ("mixcl_auto", "mixcl_auto pretrain")
    ]
    rows.append(speed_row("help of the trainer", seconds, "nnUNetv2_train", ours="mixcl_auto pretrain"))
    loaded = imported(("pretrain", "--help"))
    rows.append(
        Row(
            "imported for it, of torch and its like", ", ".join(loaded) or "none", goal="none", met=not loaded
        )
    )
    finish("Start", rows, chosen.json)


def imported(arguments: Sequence[str]) -> list[str]:
    """Which of the heavy libraries the command line imports."""
    command = [sys.executable, "-X", "importtime", "-m", "mixcl_auto", *arguments]
    trace = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    modules = {line.rpartition("|")[2].strip() for line in trace.splitlines()}
    return [library for library in HEAVY if library in modules]


def _process(command: Sequence[str]) -> Callable[[], object]:
    return lambda: subprocess.run(command, capture_output=True, check=True)


if __name__ == "__main__":
    main()
