from pathlib import Path

import pytest

from mixcl_auto.io.workspace import Workspace, fraction_name

WORKSPACE = Workspace(Path("w"))


@pytest.mark.parametrize(
    ("fraction", "name"), [(0.05, "fraction_0.05"), (1.0, "fraction_1"), (0.125, "fraction_0.125")]
)
def test_fractions_are_spelt_without_padding(fraction, name):
    assert fraction_name(fraction) == name


def test_paths_are_those_of_the_documentation():
    run = WORKSPACE.finetune("plan", "Spleen", "mixcl", 0.05, 2, 1)
    assert run.scores == Path("w/results/plan/finetune/Spleen/mixcl/fraction_0.05/fold_2/seed_1/scores.csv")
    assert WORKSPACE.pretrain("plan", "mixcl").encoder == Path(
        "w/results/plan/pretrain/mixcl/encoder.safetensors"
    )
    assert WORKSPACE.cached_case("D", "abc", "c1") == Path("w/preprocessed/D/abc/c1")
    assert WORKSPACE.report("plan").table("table1", "md") == Path("w/results/plan/report/table1.md")


def test_scores_on_the_way_are_found_by_their_step(tmp_path):
    run = Workspace(tmp_path).finetune("plan", "Spleen", "mixcl", 0.05, 2, 1)
    assert run.scores_on_the_way() == {}
    run.path.mkdir(parents=True)
    for name in ("scores.csv", "scores_at_.csv", "scores_at_x.csv", "scores_at_02.csv", "scores_at_0.csv"):
        (run.path / name).touch()
    for step in (1000, 200):
        run.scores_at(step).touch()
    assert list(run.scores_on_the_way().items()) == [
        (s, run.path / f"scores_at_{s}.csv") for s in (200, 1000)
    ]


def test_started_runs_are_found(tmp_path):
    workspace = Workspace(tmp_path)
    runs = [workspace.finetune("p", "D", "scratch", fraction, 0, 0) for fraction in (0.05, 1.0)]
    for folder in [*runs, workspace.pretrain("p", "mixcl")]:
        folder.path.mkdir(parents=True)
        folder.run.touch()
    workspace.finetune("p", "D", "scratch", 0.5, 0, 0).path.mkdir(parents=True)
    assert workspace.finetune_runs("p") == runs
    assert workspace.pretrain_runs("p") == [workspace.pretrain("p", "mixcl")]
    assert workspace.finetune_runs("other") == []
