import shutil

import pytest
from click.testing import CliRunner, Result

from mixcl_auto.cli.main import cli
from mixcl_auto.io.probes import read_probe
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.pretraining.pretrain import pretrain
from mixcl_auto.workflows.inputs import open_project

TARGET = "Target_Abdomen"


def run(workspace: Workspace, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["-w", str(workspace.root), "probe", "--device", "cpu", *arguments])


@pytest.fixture
def pretrained(fresh_planned_workspace: Workspace) -> Workspace:
    project = open_project(fresh_planned_workspace, None)
    pretrain(project.workspace, project.plan, "plan", device="cpu")
    return fresh_planned_workspace


def test_tables_show_every_level_of_every_encoder_and_the_recall_of_each_class(pretrained: Workspace) -> None:
    result = run(pretrained, "--patches", "1")
    assert result.exit_code == 0, result.output
    assert f"Linear probe, {TARGET}, fold 0, 1 held-out case" in result.stdout
    rows = [
        line.split() for line in result.stdout.splitlines() if line.split()[:1] in (["untrained"], ["mixcl"])
    ]
    levels = [[init, str(level)] for init in ("untrained", "mixcl") for level in range(5)]
    assert [row[:2] for row in rows] == levels * 2
    assert all(word in result.stdout for word in ("balanced accuracy", "background", "spleen", "aorta"))
    kept = read_probe(pretrained.probe("plan", TARGET, 0, "mixcl"))
    assert kept.settings.patches_per_class == 1
    assert f"{kept.level(0).balanced_accuracy:.3f}" == rows[5][2]


def test_without_a_pretraining_the_way_out_is_named(pretrained: Workspace) -> None:
    shutil.rmtree(pretrained.plan_results("plan"))
    result = run(pretrained)
    assert result.exit_code == 1
    first = f"run `mixcl_auto -w {pretrained.root} pretrain -p plan.json` first"
    assert first in " ".join(result.stderr.split())
