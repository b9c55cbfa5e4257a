"""The table of probes: random weights beside pre-trained ones, and nothing of another recipe."""

from pathlib import Path

import pytest

from mixcl_auto.io.probes import write_probe
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.plan import DatasetPlan, Plan
from mixcl_auto.records.probe import LevelProbe, ProbedClass, ProbeResult, ProbeSettings, recipe_hash
from mixcl_auto.records.run import Environment, PretrainRun
from mixcl_auto.reporting.probe_table import collect_probes, probe_table
from mixcl_auto.reporting.table_formats import Table

SETTINGS = ProbeSettings()
PLAN = Plan(
    datasets=(
        DatasetPlan(name="Neck", role="target", labels={"cord": 1}, cases=("a", "b"), fingerprint="0"),
        DatasetPlan(name="Abdomen", role="target", labels={"liver": 1}, cases=("c",), fingerprint="0"),
    )
)


def level(number: int, accuracy: float | None, organ: str) -> LevelProbe:
    recall = None if accuracy is None else 2 * accuracy - 0.5
    classes = (
        ProbedClass(name="background", label=0, training_voxels=30, held_out_voxels=20, recall=0.5),
        ProbedClass(
            name=organ, label=1, training_voxels=9, held_out_voxels=7 if accuracy else 0, recall=recall
        ),
    )
    return LevelProbe(
        level=number,
        channels=8,
        grid=(4, 4, 4),
        balanced_accuracy=accuracy,
        classes=classes,
        effective_rank=2.0,
        channel_spread=0.9,
        position_share=None if number else 0.25,
    )


def put(
    workspace: Workspace,
    init: str,
    accuracies: tuple[float | None, ...],
    *,
    dataset: str = "Neck",
    fold: int = 0,
    sha256: str | None = None,
    plan: Plan = PLAN,
) -> None:
    organ = next(iter(plan.dataset(dataset).labels))
    result = ProbeResult(
        init=init,
        dataset=dataset,
        fold=fold,
        plan_hash="0",
        recipe_hash=recipe_hash(plan, dataset, fold=fold, settings=SETTINGS, weights_sha256=sha256),
        weights_sha256=sha256,
        settings=SETTINGS,
        device="cpu",
        training_cases=("a",),
        held_out_cases=("b",),
        training_patches=2,
        held_out_patches=2,
        levels=tuple(level(number, accuracy, organ) for number, accuracy in enumerate(accuracies)),
    )
    write_probe(workspace.probe("plan", dataset, fold, init), result)


def table_of(workspace: Workspace, plan: Plan) -> Table | None:
    results, problems = collect_probes(workspace, plan, "plan")
    assert problems == ()
    return probe_table(results)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_rows_are_encoders_by_level_with_random_weights_first(workspace: Workspace) -> None:
    put(workspace, "mixcl", (0.75, 0.5), sha256="m")
    put(workspace, "untrained", (0.5, None))
    table = table_of(workspace, PLAN)
    assert table is not None
    assert table.columns[:7] == ("Target", "Fold", "Init", "Level", "Accuracy", "Chance", "Gain")
    assert table.columns[7:] == ("Recall: background", "Recall: cord", "Rank", "Spread", "Place")
    assert table.rows == (
        (
            "Neck",
            "0",
            "untrained",
            "0",
            "0.500",
            "0.500",
            "-",
            "0.500 (20)",
            "0.500 (7)",
            "0.250",
            "0.900",
            "0.250",
        ),
        ("Neck", "0", "untrained", "1", "-", "1.000", "-", "0.500 (20)", "-", "0.250", "0.900", "-"),
        (
            "Neck",
            "0",
            "mixcl",
            "0",
            "0.750",
            "0.500",
            "+0.250",
            "0.500 (20)",
            "1.000 (7)",
            "0.250",
            "0.900",
            "0.250",
        ),
        ("Neck", "0", "mixcl", "1", "0.500", "0.500", "-", "0.500 (20)", "0.500 (7)", "0.250", "0.900", "-"),
    )
    assert table.data[2]["gain"] == 0.25
    assert (table.data[2]["effective_rank"], table.data[2]["training_voxels"]) == (2.0, 39)
    assert (table.data[2]["recall_cord"], table.data[2]["held_out_voxels_cord"]) == (1.0, 7)


def test_every_target_has_its_own_organs_and_folds_are_counted_upwards(workspace: Workspace) -> None:
    for fold in (10, 9):
        put(workspace, "untrained", (0.5,), fold=fold)
    put(workspace, "untrained", (0.5,), dataset="Abdomen")
    table = table_of(workspace, PLAN)
    assert table is not None
    assert [row[:2] for row in table.rows] == [("Abdomen", "0"), ("Neck", "9"), ("Neck", "10")]
    assert table.columns[7:10] == ("Recall: background", "Recall: liver", "Recall: cord")
    assert [row[8:10] for row in table.rows] == [("0.500 (7)", "-"), ("-", "0.500 (7)"), ("-", "0.500 (7)")]


def test_without_probes_there_is_no_table(workspace: Workspace) -> None:
    assert table_of(workspace, PLAN) is None


def test_results_of_another_recipe_are_left_out(workspace: Workspace) -> None:
    other = PLAN.model_copy(update={"pretrain": PLAN.pretrain.model_copy(update={"seed": 5})})
    put(workspace, "untrained", (0.5,), plan=other)
    assert table_of(workspace, PLAN) is None
    assert table_of(workspace, other) is not None
    gone = PLAN.model_copy(update={"datasets": PLAN.datasets[1:]})
    assert table_of(workspace, gone) is None


def test_results_of_a_pretraining_that_was_made_anew_are_left_out(workspace: Workspace) -> None:
    put(workspace, "mixcl", (0.75,), sha256="m")
    folder = workspace.pretrain("plan", "mixcl")
    folder.path.mkdir(parents=True)
    for sha256, is_shown in (("m", True), ("other", False)):
        run = PretrainRun(
            name="mixcl",
            plan=PLAN,
            status="finished",
            environment=Environment(
                mixcl_auto="0", torch="0", python="3", device="cpu", precision="fp32", threads=1
            ),
            parameters=1,
            iterations=1,
            encoder_sha256=sha256,
        )
        folder.run.write_text(run.to_json())
        assert (table_of(workspace, PLAN) is not None) == is_shown


def test_every_form_can_be_written(workspace: Workspace) -> None:
    put(workspace, "untrained", (0.5, None))
    table = table_of(workspace, PLAN)
    assert table is not None
    assert "Recall: cord" in table.to_markdown()
    assert "\\begin{table}" in table.to_latex()
    assert table.to_csv().splitlines()[0].startswith("target,fold,init,level,balanced_accuracy,chance,gain")


def test_a_damaged_result_is_a_problem_and_the_others_are_shown(workspace: Workspace) -> None:
    put(workspace, "untrained", (0.5,))
    damaged = workspace.probe("plan", "Neck", 0, "mixcl")
    damaged.write_text("{")
    results, problems = collect_probes(workspace, PLAN, "plan")
    assert [result.init for result in results] == ["untrained"]
    assert [str(damaged) in problem for problem in problems] == [True]
