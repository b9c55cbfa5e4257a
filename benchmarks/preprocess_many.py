"""Many scans at once, and the memory of one worker on a long scan: 512 x 512 x 600 voxels.

Cases per second with two jobs over those with one, once the workers run, say what a second core brings; a
memory bus that both share, and whatever else runs on the machine, count against it.
"""

import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import Row, duration, finish, in_new_process, limit_row, parser
from benchmarks.phantom_volumes import SHAPE, write_phantom
from benchmarks.preprocess_case import case_task, ours
from mixcl_auto.engines.cores import available_cores
from mixcl_auto.engines.host_memory import keep_freed_memory
from mixcl_auto.engines.process_pool import run_tasks
from mixcl_auto.io.inspection import inspect_case
from mixcl_auto.phantoms.grid import Shape
from mixcl_auto.preprocessing.preprocess import CaseTask, preprocess_case
from mixcl_auto.preprocessing.warm_up import warm_up
from mixcl_auto.records.case import RawCase

LONG: Shape = (512, 512, 600)
MOST_GB = 1.5
LEAST_EFFICIENCY = 0.9


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__, rounds=3)
    options.add_argument("--cases", type=int, default=12, help="copies of the scan to preprocess")
    options.add_argument("--shape", type=int, nargs=3, default=SHAPE, help="voxels of each of them")
    options.add_argument("--jobs", type=int, default=min(2, available_cores()), help="beside one")
    chosen = options.parse_args(arguments)
    with TemporaryDirectory() as folder:
        many, long = Path(folder) / "many", Path(folder) / "long"
        write_phantom(many, tuple(chosen.shape), noise_hu=12.0)
        rows = [scaling_row(many, chosen.cases, chosen.jobs, chosen.rounds)]
        write_phantom(long, LONG)
        rows += memory_rows(long)
    finish("Many cases", rows, chosen.json)


def scaling_row(folder: Path, cases: int, jobs: int, rounds: int) -> Row:
    """Efficiency of several jobs: what they speed up by, over their number."""
    task = case_task(folder)
    tasks = [replace(task, folder=folder / "ours" / f"case_{number}") for number in range(cases)]
    warm_up()
    found = [(seconds_per_case(tasks, 1), seconds_per_case(tasks, jobs)) for _ in range(rounds)]
    efficiency = statistics.median(one / several for one, several in found) / jobs
    one, several = (statistics.median(column) for column in zip(*found, strict=True))
    return Row(
        f"one more case, {jobs} jobs",
        duration(several),
        f"1 job: {duration(one)}",
        f"efficiency {efficiency:.2f}",
        f"linear: at least {LEAST_EFFICIENCY:g}",
        efficiency >= LEAST_EFFICIENCY,
    )


def seconds_per_case(tasks: Sequence[CaseTask], jobs: int) -> float:
    """Preprocess anew; the seconds between the first finished case and the last, per case.

    Raises:
        RuntimeError: if a case failed.
    """
    shutil.rmtree(tasks[0].folder.parent, ignore_errors=True)
    ends = []
    for outcome in run_tasks(preprocess_case, tasks, jobs=jobs, initializer=keep_freed_memory):
        if outcome.error is not None:
            raise RuntimeError(f"{outcome.task.name} failed") from outcome.error
        ends.append(time.perf_counter())
    # With several jobs the first cases end together: those of the first turn are the start.
    return (ends[-1] - ends[jobs - 1]) / (len(ends) - jobs)


def memory_rows(folder: Path) -> list[Row]:
    """Peak memory of one worker in each of the two stages that read scans."""
    size = " x ".join(map(str, LONG))
    _, inspecting_gb = in_new_process(inspect, folder)
    _, preprocessing_gb = in_new_process(ours, case_task(folder), start=keep_freed_memory)
    return [
        limit_row(f"peak memory, inspecting {size}", inspecting_gb, "GB", at_most=MOST_GB),
        limit_row(f"peak memory, preprocessing {size}", preprocessing_gb, "GB", at_most=MOST_GB),
    ]


def inspect(folder: Path) -> None:
    """Read the case as validation and planning do."""
    image, label = folder / "phantom_0000.nii.gz", folder / "phantom.nii.gz"
    inspect_case("phantoms", RawCase(id="case", patient="case", image=image, label=label))


if __name__ == "__main__":
    main()
