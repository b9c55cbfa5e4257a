import ctypes
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from processes import is_alive, wait_until

from mixcl_auto.engines import cause_of_death, task_workers
from mixcl_auto.engines.engine import Engine, Resources
from mixcl_auto.engines.process_pool import Outcome, run_tasks
from mixcl_auto.errors import DataError, RunError


def square(number):
    if number == 3:
        raise DataError("case 3: three is no number; remove it")
    return number**2


def kill_itself_at_three(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


def kill_itself_once(path):
    """Dies at its first call, as a process does that was short of memory only together with others."""
    if path.name == "a" and not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def die_of_memory(task):
    """Die as the kernel's memory killer does it: it counts, then kills."""
    number, counter = task
    if number == 0:
        time.sleep(0.3)  # while another one is at work
        victims = int(counter.read_text().split()[1])
        counter.write_text(f"oom_kill {victims + 1}\n")
        os.kill(os.getpid(), signal.SIGKILL)
    return time.sleep(0.05)


def stand_still(number):
    """In C at some numbers, with the interpreter's lock held and SIGTERM ignored."""
    if number in (1, 2):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ctypes.PyDLL(None).sleep(600)
    return number


def give_a_lock(_):
    return threading.Lock()


def process_and_mark(folder):
    return os.getpid(), sorted(path.name for path in folder.iterdir())


def mark():
    os.environ["MARKED"] = str(os.getpid())


def read_mark(_):
    return os.environ.get("MARKED") == str(os.getpid())


def ctrl_c_is_blocked(_):
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def fail():
    raise RuntimeError("no kernel")


def wait_for_the_others(path):
    """The first task ends only when the last has run."""
    if path.name == "0":
        deadline = time.monotonic() + 60
        while not path.with_name("3").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
    path.touch()


class Recorder:
    def __init__(self):
        self.events = []

    def start(self, description, total, done=0):
        self.events.append(("start", description, total, done))

    def advance(self, units=1, note=""):
        self.events.append(("advance", note))

    def finish(self):
        self.events.append(("finish",))


def outcomes(function, tasks, **options):
    return {outcome.task: outcome for outcome in run_tasks(function, tasks, **options)}


@pytest.mark.parametrize("jobs", [1, 2])
def test_values_and_errors_belong_to_their_tasks(jobs):
    found = outcomes(square, range(6), jobs=jobs)
    assert {task: outcome.value for task, outcome in found.items() if task != 3} == {
        0: 0,
        1: 1,
        2: 4,
        4: 16,
        5: 25,
    }
    assert isinstance(found[3].error, DataError)
    assert str(found[3].error) == "case 3: three is no number; remove it"


def test_a_killed_worker_names_its_task_and_the_others_go_on():
    found = outcomes(kill_itself_at_three, range(6), jobs=2, name=lambda number: f"D, case_{number}")
    assert sorted(found) == list(range(6))
    assert [task for task, outcome in found.items() if outcome.error is not None] == [3]
    assert re.match(
        r"D, case_3: the worker process died twice, the second time alone: it was killed by SIGKILL",
        str(found[3].error),
    )
    assert found[5].value == 25


def test_a_task_that_dies_once_succeeds_when_run_alone(tmp_path):
    tasks = [tmp_path / "a", tmp_path / "b"]
    assert {outcome.value for outcome in run_tasks(kill_itself_once, tasks, jobs=2)} == {"done"}


def test_a_failing_initializer_ends_every_task_instead_of_hanging():
    found = outcomes(square, [1, 2], jobs=2, initializer=fail)
    assert all("died" in str(outcome.error) for outcome in found.values())
    assert len(found) == 2


def test_lack_of_memory_is_named_and_leaves_fewer_workers(tmp_path, monkeypatch, caplog):
    counter = tmp_path / "memory.events"
    counter.write_text("oom_kill 0\n")
    monkeypatch.setattr(cause_of_death, "victims_file", lambda: counter)
    tasks = [(number, counter) for number in range(4)]
    found = outcomes(die_of_memory, tasks, jobs=2, name=lambda task: f"case_{task[0]}")
    assert str(found[tasks[0]].error) == (
        "case_0: the worker process died twice, the second time alone: it was killed by SIGKILL, by the "
        "kernel for lack of memory; free memory, and run the same command again"
    )
    assert [outcome.task[0] for outcome in found.values() if outcome.error] == [0]
    assert [record.message for record in caplog.records] == [
        "case_0: the worker process was killed by SIGKILL, by the kernel for lack of memory; the others go "
        "on, at most 1 at once"
    ]


def test_dead_locked_workers_are_killed_at_the_limit_and_the_others_go_on():
    found = outcomes(stand_still, range(6), jobs=2, name=lambda number: f"case_{number}", limit_s=2)
    assert [outcome.value for _, outcome in sorted(found.items())] == [0, None, None, 3, 4, 5]
    for number in (1, 2):
        assert str(found[number].error).startswith(
            f"case_{number}: gave nothing for 2 s, so that its process"
        )
    assert multiprocessing.active_children() == []


def test_a_dead_locked_worker_does_not_keep_who_stops(monkeypatch):
    monkeypatch.setattr(task_workers, "END_PATIENCE_S", 0.2)
    stream = run_tasks(stand_still, [0, 1], jobs=2)
    assert next(stream).value == 0
    with pytest.raises(KeyboardInterrupt):
        stream.throw(KeyboardInterrupt)
    assert multiprocessing.active_children() == []


def test_a_value_that_can_not_travel_is_an_error_of_its_task():
    (outcome,) = run_tasks(give_a_lock, [1], jobs=2)
    assert "cannot pickle '_thread.lock' object" in str(outcome.error)


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_initializer_runs_in_every_worker(jobs, monkeypatch):
    monkeypatch.setenv("MARKED", "nobody")
    assert all(outcome.value for outcome in run_tasks(read_mark, range(4), jobs=jobs, initializer=mark))


def test_one_job_stays_in_this_process(tmp_path):
    (outcome,) = run_tasks(process_and_mark, [tmp_path], jobs=1)
    assert outcome.value[0] == os.getpid()
    (outcome, _) = run_tasks(process_and_mark, [tmp_path, tmp_path.parent], jobs=2)
    assert outcome.value[0] != os.getpid()


def test_outcomes_come_as_they_complete(tmp_path):
    tasks = [tmp_path / str(number) for number in range(4)]
    order = [outcome.task.name for outcome in run_tasks(wait_for_the_others, tasks, jobs=2)]
    assert order == ["1", "2", "3", "0"]


def test_progress_hears_of_every_task():
    recorder = Recorder()
    list(
        run_tasks(
            square, [1, 3], jobs=1, name=lambda n: f"n{n}", description="squares", done=3, progress=recorder
        )
    )
    assert recorder.events == [("start", "squares", 5, 3), ("advance", "n1"), ("advance", "n3"), ("finish",)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_progress_ends_when_the_caller_stops_early(jobs):
    recorder = Recorder()
    stream = run_tasks(square, [1, 2, 4, 5], jobs=jobs, progress=recorder)
    assert isinstance(next(stream), Outcome)
    stream.close()
    assert recorder.events[-1] == ("finish",)


@pytest.mark.parametrize("jobs", [1, 4])
def test_no_tasks_give_no_outcomes(jobs):
    assert list(run_tasks(square, [], jobs=jobs)) == []


def report_itself_and_wait(folder):
    (folder / str(os.getpid())).touch()
    time.sleep(600)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path):
    code = (
        "import sys; from pathlib import Path; from mixcl_auto.engines.process_pool import run_tasks; "
        "from test_process_pool import report_itself_and_wait; "
        "list(run_tasks(report_itself_and_wait, [Path(sys.argv[1])] * 2, jobs=2))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, Path(__file__).parents[:2]))}
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=environment)
    try:
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    finally:
        parent.kill()
        parent.wait()
    workers = [int(path.name) for path in tmp_path.iterdir()]
    wait_until(lambda: not any(map(is_alive, workers)))


def test_ctrl_c_is_left_to_the_parent_from_a_workers_first_moment():
    """A worker that it met while still importing would print its traceback."""
    assert all(outcome.value for outcome in run_tasks(ctrl_c_is_blocked, range(3), jobs=2))
    assert not ctrl_c_is_blocked(None)


class Backwards(Engine):
    """Runs the task that came last, when asked for a result."""

    def __init__(self, loses=False):
        self.queue, self.most, self.loses = [], 0, loses

    def submit(self, task, resources):
        assert resources == Resources(cpus=3)
        self.queue.append(task)
        self.most = max(self.most, len(self.queue))

    def wait(self, seconds=None):
        if self.loses:
            return None
        task = self.queue.pop()
        try:
            return Outcome(task, value=task.run())
        except DataError as error:
            return Outcome(task, error=error)

    def capacity(self, resources):
        return 2


def test_an_engine_runs_the_tasks_and_gets_few_at_once():
    engine, recorder = Backwards(), Recorder()
    options = {"engine": engine, "resources": Resources(cpus=3), "progress": recorder}
    found = list(run_tasks(square, range(6), jobs=1, name=lambda n: f"n{n}", **options))
    assert [outcome.task for outcome in found] == [3, 4, 5, 2, 1, 0]
    assert [outcome.value for outcome in found] == [None, 16, 25, 4, 1, 0]
    assert str(found[0].error) == "case 3: three is no number; remove it"
    assert engine.most == 4
    assert recorder.events[1:3] == [("advance", "n3"), ("advance", "n4")]
    assert list(run_tasks(square, [], jobs=1, engine=engine)) == []


def test_tasks_that_an_engine_loses_are_an_error():
    with pytest.raises(RunError, match="2 tasks were lost: the engine was closed while they ran"):
        list(run_tasks(square, [1, 2], jobs=1, engine=Backwards(loses=True), resources=Resources(cpus=3)))
