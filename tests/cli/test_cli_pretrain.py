from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mixcl_auto.cli.main import cli
from mixcl_auto.io.runs import read_pretrain_run
from mixcl_auto.io.workspace import Workspace


def run(workspace: Workspace, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["-w", str(workspace.root), "pretrain", *arguments])


def test_method_names_the_run_and_stands_in_its_plan(fresh_planned_workspace: Workspace) -> None:
    result = run(fresh_planned_workspace, "--method", "supervised", "--set", "pretrain.iterations=1")
    assert result.exit_code == 0, result.output
    folder = fresh_planned_workspace.pretrain("plan", "supervised")
    assert str(folder.encoder) in result.stdout.replace("\n", "")
    assert read_pretrain_run(folder).plan.pretrain.method == "supervised"


def test_run_is_called_mixcl_without_a_name_and_a_method(fresh_planned_workspace: Workspace) -> None:
    result = run(fresh_planned_workspace, "--set", "pretrain.iterations=1")
    assert result.exit_code == 0, result.output
    folder = fresh_planned_workspace.pretrain("plan", "mixcl")
    assert read_pretrain_run(folder).plan.pretrain.method == "mixcl"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--method", "supervised", "--without", "label"), "the method supervised has none: drop label"),
        (("--method", "contrastive"), "'contrastive' is not one of 'mixcl', 'supervised'"),
        (("--name", "supervised"), "use --method supervised, or another --name"),
        (("--without", "label", "--without", "identity", "--without", "reconstruction"), "at least one"),
        (("--without", "label"), "needs a --name of its own, such as no_label"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    planned_workspace: Workspace, arguments: tuple[str, ...], words: str
) -> None:
    result = run(planned_workspace, *arguments)
    assert result.exit_code != 0
    assert words in " ".join(result.stderr.split())
    assert not Path(planned_workspace.pretrain("plan", "supervised").path).exists()
