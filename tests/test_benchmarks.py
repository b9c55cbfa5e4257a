"""Benchmarks are run by hand; here is what keeps them runnable and what their figures rest on."""

import importlib
import json
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as everything
from benchmarks import measure

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted({name.split()[0] for name in everything.BENCHMARKS})


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_explains_itself_without_its_peers(script, capsys):
    module = importlib.import_module(f"benchmarks.{script}")
    with pytest.raises(SystemExit) as ended:
        module.main(["--help"])
    assert ended.value.code == 0
    assert "--rounds" in capsys.readouterr().out
    assert module.__doc__


def test_every_script_with_a_main_is_run_and_described():
    with_main = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "__name__" in path.read_text()}
    assert with_main - {"__main__"} == set(SCRIPTS)
    described = (ROOT / "benchmarks" / "README.md").read_text()
    assert all(f"| `{script}` |" in described for script in SCRIPTS)


def test_an_unknown_benchmark_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        everything.main(["nonsense"])
    assert ended.value.code == 2
    assert "no benchmark nonsense; there are preprocess_case, " in capsys.readouterr().err


def test_a_benchmark_that_fails_is_named_and_the_others_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(everything, "BENCHMARKS", {"measure": (), "no_such_script": ()})
    output = tmp_path / "RESULTS.md"
    everything.main(["--output", str(output)])
    text = output.read_text()
    assert "failed with exit code 1: `python -m benchmarks.no_such_script`" in text
    assert text.startswith("# Benchmarks\n")
    assert text.endswith((ROOT / "benchmarks" / "NOTES.md").read_text())


def test_candidates_run_in_turn_and_warm_ups_do_not_count():
    order = []
    seconds = measure.time_in_turn(
        {"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2, warm_ups=1
    )
    assert order == ["a", "b"] * 3
    assert [len(times) for times in seconds.values()] == [2, 2]


def test_a_ratio_is_taken_within_each_round():
    # the machine became ten times slower; the ratio did not change
    assert measure.median_ratio([2.0, 20.0, 2.0], [1.0, 10.0, 1.0]) == 2.0


def test_rows_say_whether_a_goal_is_met():
    seconds = {"mixcl_auto": [1.0, 1.0], "peer": [12.0, 12.0]}
    fast = measure.speed_row("x", seconds, "peer", at_least=12)
    assert (fast.ratio, fast.met) == ("12 times faster", True)
    assert measure.speed_row("x", seconds, "peer", at_least=13).met is False
    assert measure.speed_row("x", seconds, "peer").met is None
    assert measure.speed_row("x", seconds, "mixcl_auto", ours="peer").ratio == "12 times slower"
    assert measure.cost_row("x", {"mixcl_auto": [1.1], "base": [1.0]}, "base", at_most=1.15).met is True
    assert measure.cost_row("x", {"mixcl_auto": [1.2], "base": [1.0]}, "base", at_most=1.15).met is False
    assert measure.limit_row("x", 1.4, "GB", at_most=1.5).met is True


def test_a_table_has_a_line_per_row_and_the_file_the_same_rows(tmp_path, capsys):
    rows = [measure.limit_row("memory", 2.0, "GB", at_most=1.5), measure.Row("other", "1 s")]
    measure.finish("Title", rows, tmp_path / "rows.json")
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "## Title"
    assert "| memory | 2 GB" in shown[4]
    assert "**no**" in shown[4]
    stored = json.loads((tmp_path / "rows.json").read_text())
    assert [measure.Row(**row) for row in stored["rows"]] == rows


def fill_memory(megabytes: int) -> int:
    return int(np.ones(megabytes * 2**17).sum())


def test_memory_is_that_of_a_process_of_its_own():
    held = np.ones(2**26)  # 512 MB that do not count
    result, peak_gb = measure.in_new_process(fill_memory, 200)
    assert result == 200 * 2**17
    assert 0.2 < peak_gb < 0.5
    assert held.size == 2**26


def test_candidates_apart_run_in_processes_of_their_own():
    seconds = measure.time_in_turn_apart({"sleep": nap, "fill": fill_a_little}, rounds=2, warm_ups=1)
    assert all(took >= 0.05 for took in seconds["sleep"])
    assert len(seconds["fill"]) == 2


def nap() -> None:
    time.sleep(0.05)


def fill_a_little() -> int:
    return fill_memory(1)
