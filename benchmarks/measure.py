"""Measure things against each other in one process: in turn, several rounds, medians and ratios.

Shared machines drift by half within minutes; what runs in turn drifts together, so a ratio is taken within
each round and its median quoted.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True)
class Row:
    """One line of a benchmark's table.

    Attributes:
        what: was measured.
        ours: of this project, with its unit.
        peer: what it is compared with, and its figure; empty where there is none.
        ratio: between both, in words.
        goal: in words; empty where none is set.
        met: whether the goal is met; absent where none is set.
    """

    what: str
    ours: str
    peer: str = ""
    ratio: str = ""
    goal: str = ""
    met: bool | None = None


def time_in_turn(
    candidates: Mapping[str, Callable[[], object]], *, rounds: int, warm_ups: int = 1
) -> dict[str, list[float]]:
    """Seconds that each candidate took in each round; the first ``warm_ups`` rounds are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(warm_ups + rounds):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            if number >= warm_ups:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def time_in_turn_apart(
    candidates: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warm_ups: int = 1,
    starts: Mapping[str, Callable[[], object]] | None = None,
) -> dict[str, list[float]]:
    """The same in a process for each candidate, so that what one does to its process leaves others alone.

    Args:
        candidates: such as partials of a module's functions, which can be pickled.
        rounds: that count.
        warm_ups: rounds before them.
        starts: called once in the process of the candidate of that name.
    """
    context, seconds = get_context("spawn"), {name: [] for name in candidates}
    with ExitStack() as stack:
        pools = {name: stack.enter_context(context.Pool(1, (starts or {}).get(name))) for name in candidates}
        for number in range(warm_ups + rounds):
            for name, run in candidates.items():
                took = pools[name].apply(_seconds, (run,))
                if number >= warm_ups:
                    seconds[name].append(took)
    return seconds


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def median_ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """The median over rounds of a ratio within each round."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))


def speed_row(
    what: str,
    seconds: Mapping[str, Sequence[float]],
    peer: str,
    *,
    ours: str = "mixcl_auto",
    at_least: float | None = None,
) -> Row:
    """How many times faster than a peer."""
    times = median_ratio(seconds[peer], seconds[ours])
    return Row(
        what,
        duration(statistics.median(seconds[ours])),
        f"{peer}: {duration(statistics.median(seconds[peer]))}",
        f"{times:.3g} times faster" if times >= 1 else f"{1 / times:.3g} times slower",
        "" if at_least is None else f"at least {at_least:g} times faster",
        None if at_least is None else times >= at_least,
    )


def cost_row(
    what: str,
    seconds: Mapping[str, Sequence[float]],
    base: str,
    *,
    ours: str = "mixcl_auto",
    at_most: float | None = None,
) -> Row:
    """What something takes as a multiple of a part of it, or of the least that is possible."""
    multiple = median_ratio(seconds[ours], seconds[base])
    return Row(
        what,
        duration(statistics.median(seconds[ours])),
        f"{base}: {duration(statistics.median(seconds[base]))}",
        f"{multiple:.3f} of it",
        "" if at_most is None else f"at most {at_most:g}",
        None if at_most is None else multiple <= at_most,
    )


def limit_row(what: str, value: float, unit: str, *, at_most: float | None = None, peer: str = "") -> Row:
    """A figure with an upper limit."""
    goal = "" if at_most is None else f"at most {at_most:g} {unit}"
    return Row(what, f"{value:.3g} {unit}", peer, "", goal, None if at_most is None else value <= at_most)


def duration(seconds: float) -> str:
    """Seconds for people: 1.23 s or 45.6 ms."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def in_new_process(
    function: Callable[..., Result], *arguments: Any, start: Callable[[], object] | None = None
) -> tuple[Result, float]:
    """A function's result and the most memory, in GB (2^30 bytes), that the process which ran it ever held.

    Args:
        function: of a module, so that it can be found there.
        arguments: and the result can be pickled.
        start: called in that process before.
    """
    with get_context("spawn").Pool(1, start) as pool:
        return pool.apply(_with_peak, (function, arguments))


def _with_peak(function: Callable[..., Result], arguments: Sequence[Any]) -> tuple[Result, float]:
    result = function(*arguments)
    # Linux's peak of this process alone; ru_maxrss would begin at what the parent held.
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    peak_kb = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return result, peak_kb / 2**20


def parser(description: str | None, *, rounds: int = 5) -> argparse.ArgumentParser:
    """The options of every benchmark."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    made.add_argument("--rounds", type=int, default=rounds, help="rounds that count; one more warms up")
    made.add_argument("--threads", type=int, default=None, help="CPU threads; all cores if absent")
    made.add_argument("--json", type=Path, default=None, help="also write the rows to this file")
    return made


def finish(title: str, rows: Sequence[Row], json_file: Path | None) -> None:
    """Print a benchmark's table, and write it where asked for."""
    print(markdown(title, rows), flush=True)
    if json_file is not None:
        document = {"title": title, "rows": [asdict(row) for row in rows]}
        json_file.write_text(json.dumps(document, indent=2), encoding="utf-8")


def markdown(title: str, rows: Sequence[Row]) -> str:
    """A table that reads well as it stands."""
    header = ("", "mixcl_auto", "beside it", "ratio", "goal", "met")
    verdict = {True: "yes", False: "**no**", None: ""}
    lines = [
        header,
        *((row.what, row.ours, row.peer, row.ratio, row.goal, verdict[row.met]) for row in rows),
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    text = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([f"## {title}", "", text[0], rule, *text[1:], ""])
