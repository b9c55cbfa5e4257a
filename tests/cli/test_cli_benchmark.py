"""``mixcl_auto benchmark`` on tiny phantoms: what it prints, and how it exits."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mixcl_auto.cli.benchmark import rate_text, seconds_text
from mixcl_auto.cli.main import cli
from mixcl_auto.io.workspace import Workspace


def run(workspace: Workspace, *arguments: str) -> Result:
    options = ["-w", str(workspace.root), "benchmark", "--device", "cpu", "--steps", "1", *arguments]
    return CliRunner().invoke(cli, options)


@pytest.fixture(scope="module")
def both(planned_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    file = tmp_path_factory.mktemp("json") / "new folder" / "figures.json"
    return run(planned_workspace, "--json", str(file)), file


def test_both_trainers_are_measured_and_the_limit_is_named(both: tuple[Result, Path]) -> None:
    result, _ = both
    assert result.exit_code == 0, result.output
    assert "pretrain on the pool, 4 cases; cpu, fp32, 1 thread, 0 workers, batch 2" in result.stdout
    assert re.search(r"finetune on Target_Abdomen, fold 0, \d+ cases; cpu", result.stdout)
    assert len(re.findall(r"(?:is|are) the limit", result.stdout)) == 2
    assert len(re.findall(r"waiting for the loader +\d+\.\d%", result.stdout)) == 2


def test_every_part_has_a_line(both: tuple[Result, Path]) -> None:
    _, pretrain, finetune = re.split(r"(?:pretrain|finetune) on ", both[0].stdout)
    measured = r" +[\d.e+]+ (?:s|ms|MB|min|h|samples/s)\b"
    for part in ("loader, per sample", "loader, at most", "network", "optimiser", "run, per step"):
        assert re.search(part + measured, pretrain), part
        assert re.search(part + measured, finetune), part
    assert re.search("losses and projectors" + measured, pretrain)
    assert re.search("gradient shares" + measured, pretrain)
    assert re.search(r"  loss" + measured, finetune)
    assert "gradient shares" not in finetune, "one loss has no shares"


def test_json_holds_the_figures_of_each_trainer(both: tuple[Result, Path]) -> None:
    stages = json.loads(both[1].read_text())["stages"]
    assert [stage["stage"] for stage in stages] == ["pretrain", "finetune"]
    for stage in stages:
        assert stage["network_s"] > 0
        assert stage["advice"] in both[0].stdout


def test_edits_are_obeyed(planned_workspace: Workspace) -> None:
    result = run(planned_workspace, "--stage", "finetune", "--set", "finetune.batch_size=3")
    assert result.exit_code == 0, result.output
    assert "batch 3" in result.stdout
    assert "3 patches, forward and backward" in result.stdout
    assert "pretrain" not in result.stdout


def test_a_missing_cache_is_one_clear_line(planned_workspace: Workspace) -> None:
    result = run(planned_workspace, "--set", "preprocess.window_hu=[-100,100]")
    assert result.exit_code == 1
    assert "cases are not in the cache" in result.stderr
    assert f"run `mixcl_auto -w {planned_workspace.root} plan_and_preprocess` again" in result.stderr
    assert not result.stdout


@pytest.mark.parametrize(("seconds", "text"), [(2.345, "2.35 s"), (1.0, "1 s"), (0.0123, "12.3 ms")])
def test_seconds_are_written_in_the_unit_that_suits_them(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(("rate", "text"), [(1090.4, "1090 samples/s"), (2.268, "2.27 samples/s")])
def test_rates_have_three_digits_or_whole_samples(rate: float, text: str) -> None:
    assert rate_text(rate) == text
