from pathlib import Path

import pytest

from mixcl_auto.errors import DataError
from mixcl_auto.io.probes import read_probe, write_probe
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.probe import LevelProbe, ProbedClass, ProbeResult, ProbeSettings

RESULT = ProbeResult(
    init="mixcl",
    dataset="Abdomen",
    fold=0,
    plan_hash="0",
    recipe_hash="1",
    weights_sha256="2",
    settings=ProbeSettings(),
    device="cpu",
    training_cases=("a",),
    held_out_cases=("b",),
    training_patches=6,
    held_out_patches=5,
    levels=(
        LevelProbe(
            level=0,
            channels=8,
            grid=(16, 16, 16),
            balanced_accuracy=0.1 + 0.2,
            classes=(
                ProbedClass(name="background", label=0, training_voxels=4, held_out_voxels=3, recall=1 / 3),
                ProbedClass(name="liver", label=1, training_voxels=4, held_out_voxels=0, recall=None),
            ),
            effective_rank=3.7,
            channel_spread=0.6,
            position_share=2 / 3,
        ),
    ),
)


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = Workspace(tmp_path).probe("plan", "Abdomen", 0, "mixcl")
    write_probe(path, RESULT)
    assert read_probe(path) == RESULT
    assert str(path.relative_to(tmp_path)) == "results/plan/probe/Abdomen/fold_0/mixcl.json"


def test_results_of_a_plan_are_found_by_path(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    paths = [workspace.probe("plan", "A", fold, init) for fold in (0, 1) for init in ("mixcl", "untrained")]
    for path in (*reversed(paths), workspace.probe("other", "A", 0, "mixcl")):
        write_probe(path, RESULT)
    assert workspace.probes("plan") == paths
    assert workspace.probes("nothing") == []


def test_a_missing_or_damaged_result_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such result of a probe; run `mixcl_auto probe` again"):
        read_probe(tmp_path / "mixcl.json")
    (tmp_path / "mixcl.json").write_text(RESULT.to_json().replace('"fold": 0', '"fold": -1'))
    with pytest.raises(DataError, match="fold: Input should be greater than or equal to 0"):
        read_probe(tmp_path / "mixcl.json")
