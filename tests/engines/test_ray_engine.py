import os
import signal

import pytest
from processes import is_alive, wait_for_line, wait_until
from ray_cluster import two_nodes

from mixcl_auto import __version__
from mixcl_auto.engines.call import Call
from mixcl_auto.engines.command import PARENT, PYTHON, Command, CommandError
from mixcl_auto.engines.engine import Resources
from mixcl_auto.engines.ray_engine import RayEngine, installed_version
from mixcl_auto.engines.shared_folder import check_shared
from mixcl_auto.errors import DataError, RunError

ray = pytest.importorskip("ray")

WORKS = """
import os, sys, time
from pathlib import Path
from mixcl_auto.engines.tether import end_with_parent
end_with_parent(int(sys.argv[1]))
print("running", flush=True)
folder, name = Path(sys.argv[2]), sys.argv[3]
while not (folder / "go").exists():
    time.sleep(0.05)
(folder / f"{name}_{os.getpid()}").touch()
"""
SAVES = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (print('saved'), sys.exit(0)));"
    "print('running', flush=True); time.sleep(600)"
)
STUBBORN = (
    "import os, signal, sys, time; from mixcl_auto.engines import tether; tether._PATIENCE_S = 0.2;"
    "signal.signal(signal.SIGTERM, lambda *_: print('told', flush=True));"
    "tether.end_with_parent(int(sys.argv[1]));"
    "print(os.getpid(), flush=True); print('running', flush=True); time.sleep(600)"
)


@pytest.fixture(scope="module")
def cluster():
    with two_nodes() as cluster:
        yield cluster


@pytest.fixture
def engine(cluster):
    with RayEngine() as engine:
        yield engine


def drained(engine):
    outcomes = []
    while (outcome := engine.wait(120)) is not None:
        outcomes.append(outcome)
    return outcomes


def refuse(case):
    raise DataError(f"{case}: no label map; give it")


def die(_):
    os.kill(os.getpid(), signal.SIGKILL)


def shown_devices(_):
    return os.environ["CUDA_VISIBLE_DEVICES"]


def test_values_and_the_errors_themselves_come_back(engine, tmp_path):
    tasks = [
        Call(abs, -4, "four"),
        Call(refuse, "case 3", "case 3"),
        Command((PYTHON, "-c", "print('no data'); raise SystemExit(2)"), tmp_path / "log", "fold 0"),
        Call(shown_devices, None, "devices"),
    ]
    for task in tasks:
        engine.submit(task, Resources())
    found = {outcome.task.name: outcome for outcome in drained(engine)}
    assert found["four"].value == 4
    assert found["devices"].value == ""
    assert type(found["case 3"].error) is DataError
    assert str(found["case 3"].error) == "case 3: no label map; give it"
    assert type(found["fold 0"].error) is CommandError
    assert (found["fold 0"].error.code, found["fold 0"].error.log_end) == (2, "no data")
    assert engine.wait() is None


def test_a_task_whose_process_dies_again_and_again_is_named(cluster):
    with RayEngine(retries=1) as engine:
        engine.submit(Call(die, None, "D, case_3"), Resources())
        (outcome,) = drained(engine)
    assert type(outcome.error) is RunError
    assert str(outcome.error).startswith("D, case_3 was lost with its process or node (retries: 1): ")


def test_capacity_is_that_of_the_nodes(engine):
    assert engine.capacity(Resources(1)) == 2
    assert engine.capacity(Resources(4)) == 2  # a whole node
    with RayEngine(jobs=1) as limited:
        assert limited.capacity(Resources(1)) == 1
    with pytest.raises(
        RunError, match=r"no node .* 1 CPUs and 1 GPUs; it has .* with 1 CPUs and 0 GPUs; .*; ask"
    ):
        engine.submit(Call(abs, 1, "one"), Resources(1, gpus=1))


def test_every_node_is_asked_and_shares_the_folder(engine, tmp_path):
    answers = engine.on_every_node(installed_version)
    assert [outcome.value for outcome in answers.values()] == [__version__] * 2
    check_shared(engine, tmp_path / "workspace")
    assert list((tmp_path / "workspace").iterdir()) == []


def test_a_node_with_another_version_is_named(cluster, monkeypatch):
    monkeypatch.setattr("mixcl_auto.engines.ray_engine.__version__", "9.9")
    with pytest.raises(
        RunError, match=rf"Ray node .* has mixcl_auto {__version__}, this machine 9\.9; install"
    ):
        RayEngine()
    assert ray.is_initialized()


def test_closing_lets_commands_save_and_ends_the_stubborn(cluster, tmp_path):
    logs = [tmp_path / "saves", tmp_path / "stubborn"]
    engine = RayEngine()
    for log, code in zip(logs, (SAVES, STUBBORN), strict=True):
        engine.submit(Command((PYTHON, "-c", code, PARENT), log, log.name), Resources())
    for log in logs:
        wait_for_line(log, "running")
    engine.close(patience_s=2)
    assert logs[0].read_text().splitlines()[-1] == "saved"
    stubborn = int(logs[1].read_text().splitlines()[1])
    wait_until(lambda: not is_alive(stubborn))
    assert logs[1].read_text().splitlines()[2:4] == ["running", "told"]
    assert engine.wait() is None
    engine.close()
    assert ray.is_initialized()


def test_a_node_that_dies_loses_no_task(cluster, tmp_path):
    commands = [
        Command((PYTHON, "-c", WORKS, PARENT, str(tmp_path), name), tmp_path / f"{name}.log", name)
        for name in "abc"
    ]
    with RayEngine() as engine:
        for command in commands:
            engine.submit(command, Resources())
        for command in commands[:2]:
            wait_for_line(command.log, "running")
        (second,) = cluster.worker_nodes
        cluster.remove_node(second, allow_graceful=False)
        wait_until(lambda: engine.capacity(Resources()) == 1)
        (tmp_path / "go").touch()
        outcomes = drained(engine)
    assert sorted(outcome.task.name for outcome in outcomes) == ["a", "b", "c"]
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert len({path.name.partition("_")[0] for path in tmp_path.glob("[abc]_*")}) == 3
    attempts = [command.log.read_text().count("#####") for command in commands]
    assert sum(attempts) == 4
