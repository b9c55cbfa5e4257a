import re
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from mixcl_auto.cli.main import cli
from mixcl_auto.workflows import plan_and_preprocess as workflow


def run(*arguments: str) -> "CliRunner.Result":
    return CliRunner().invoke(cli, list(arguments))


def test_engine_and_address_reach_the_workflow(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    seen = []

    def record(workspace, **options):
        seen.append((options["engine"], options["address"]))
        return SimpleNamespace(path=tmp_path, failures=())

    monkeypatch.setattr(workflow, "plan_and_preprocess", record)
    for options in ((), ("--engine", "ray"), ("--engine", "ray", "--address", "10.0.0.1:6379")):
        assert run("-w", str(tmp_path), "plan_and_preprocess", *options).exit_code == 0
    assert seen == [("local", None), ("ray", None), ("ray", "10.0.0.1:6379")]


def test_an_address_without_ray_is_refused(tmp_path) -> None:
    result = run("-w", str(tmp_path), "plan_and_preprocess", "--address", "auto")
    assert result.exit_code == 1
    assert "leave out the address auto, or use ray" in result.stderr


def test_an_unknown_engine_is_wrong_usage(tmp_path) -> None:
    result = run("-w", str(tmp_path), "plan_and_preprocess", "--engine", "dask")
    assert result.exit_code == 2
    assert re.search("'dask' is not one of 'local', 'ray'", result.stderr)


def test_the_tether_is_no_option_for_users() -> None:
    assert "--tethered" not in run("--help").output
