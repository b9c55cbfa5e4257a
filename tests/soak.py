"""``make soak``: the whole pipeline on phantoms, killed at random, for an hour; nothing may be lost.

Every round goes through all commands in a workspace of its own. Each command is killed at random moments and
started again until it is done; then every file must be that of a pipeline that nobody disturbed, to the byte.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import torch
from kills import Attempt, attempt, until_done
from pipeline_runs import differences, environment, make_raw_data, results, stages

KILLS_PER_STAGE = 6


@dataclass
class Tally:
    """What came of some rounds."""

    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    """By way."""
    killed_stages: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    """How those ended that were killed."""
    starts: int = 0
    took: dict[str, float] = field(default_factory=dict)
    """Seconds of each command's last undisturbed start: the machine may be faster or slower than before."""
    files: int = 0
    """Compared."""
    lost: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    unsound: list[str] = field(default_factory=list)
    """Commands that ended otherwise than they must."""

    def count(self, made: Attempt) -> None:
        """Take in one start of a command."""
        self.starts += 1
        if made.way is not None:
            self.kills[made.way] += 1
            self.killed_stages[made.stage] += 1
            self.codes[f"{made.way}: {made.code}"] += 1
        else:
            self.took[made.stage] = made.seconds

    def add(self, other: "Tally") -> None:
        """Take in the rounds of another tally."""
        self.took |= other.took
        for name, value in vars(other).items():
            if name != "took":
                setattr(self, name, getattr(self, name) + value)

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost."""
        return not (self.lost or self.different or self.unsound)


def load_libraries() -> None:
    """Import what the commands import, so that a fork starts at once, and compute with one thread."""
    import importlib

    from mixcl_auto.cli.main import COMMANDS

    torch.set_num_threads(1)  # a fork has none of the threads that its parent would compute with
    for name in COMMANDS:
        importlib.import_module(f"mixcl_auto.cli.{name}")
        if name not in ("convert", "validate", "evaluate"):
            importlib.import_module(f"mixcl_auto.workflows.{name}")
    signal.signal(signal.SIGINT, signal.default_int_handler)


def one_round(
    root: Path, number: int, seed: int, expected: dict[str, str], seconds: dict[str, float]
) -> Tally:
    """Go through the pipeline once, killed again and again, and compare what it leaves."""
    tally, workspace = Tally(rounds=1), root / f"round_{number}"
    draw = random.Random(f"{seed} {number}")
    try:
        for stage in stages(root / "raw_data"):
            until_done(workspace, stage, draw, seconds[stage.name], kills=KILLS_PER_STAGE, told=tally.count)
    except AssertionError as problem:
        tally.unsound.append(f"round {number}: {problem}")
        return tally
    found = results(workspace)
    lost, different = differences(expected, found)
    tally.files = len(found)
    tally.lost = [f"round {number}: {name}" for name in lost]
    tally.different = [f"round {number}: {name}" for name in different]
    if tally.is_clean:
        shutil.rmtree(workspace)
    return tally


def undisturbed(root: Path) -> tuple[dict[str, str], dict[str, float]]:
    """The files of a pipeline that nobody disturbs, and the seconds that each command takes."""
    seconds = {}
    for stage in stages(root / "raw_data"):
        began = time.monotonic()
        made = attempt(root / "undisturbed", stage, random.Random(0), 0.0)
        assert made.code == 0, made.said
        seconds[stage.name] = time.monotonic() - began
    return results(root / "undisturbed"), seconds


def soak(root: Path, *, minutes: float, seed: int, jobs: int) -> Tally:
    """Make rounds, some at a time, until the time is up."""
    deadline = time.monotonic() + 60 * minutes
    os.environ |= environment()
    make_raw_data(root / "raw_data")
    tally = Tally()
    with ProcessPoolExecutor(jobs, get_context("spawn"), initializer=load_libraries) as pool:
        expected, seconds = pool.submit(undisturbed, root).result()
        spent = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
        print(f"undisturbed: {len(expected)} files; {spent}", flush=True)
        number, running = 0, set()
        while running or time.monotonic() < deadline:
            while len(running) < jobs and time.monotonic() < deadline and tally.is_clean:
                latest = {
                    stage: (value + tally.took.get(stage, value)) / 2 for stage, value in seconds.items()
                }
                running.add(pool.submit(one_round, root, number, seed, expected, latest))
                number += 1
            done = {future for future in running if future.done()}
            for future in done:
                tally.add(future.result())
                print(_line(tally), flush=True)
            running -= done
            if not tally.is_clean and not running:
                break
            time.sleep(0.2)
    return tally


def _line(tally: Tally) -> str:
    return (
        f"{tally.rounds} rounds, {sum(tally.kills.values())} kills in {tally.starts} starts; "
        f"{tally.files} files compared: {len(tally.lost)} lost, {len(tally.different)} different; "
        f"{len(tally.unsound)} commands ended otherwise than they must"
    )


def main() -> int:
    """Run, print the figures, and keep the workspace of what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--jobs", type=int, default=2, help="rounds at once")
    parser.add_argument("--folder", type=Path, help="where to work [default: a temporary folder]")
    wanted = parser.parse_args()
    root = (wanted.folder or Path(tempfile.mkdtemp(prefix="soak_"))).resolve()
    root.mkdir(parents=True, exist_ok=True)
    print(f"seed {wanted.seed}, {wanted.minutes:g} minutes in {root}", flush=True)
    tally = soak(root, minutes=wanted.minutes, seed=wanted.seed, jobs=wanted.jobs)
    document = {"seed": wanted.seed, "minutes": wanted.minutes, **vars(tally)}
    (root / "soak.json").write_text(json.dumps(document, indent=2) + "\n")
    for what in (*tally.lost, *tally.different, *tally.unsound):
        print(what)
    print(json.dumps({"kills": tally.kills, "stages": tally.killed_stages, "codes": tally.codes}, indent=2))
    if tally.is_clean and wanted.folder is None:
        shutil.rmtree(root)
    return 0 if tally.is_clean and tally.rounds else 1


if __name__ == "__main__":
    sys.exit(main())
