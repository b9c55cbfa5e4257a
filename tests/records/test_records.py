import json
from pathlib import Path

import pytest

from mixcl_auto.errors import DataError, PlanError
from mixcl_auto.records.case import Geometry
from mixcl_auto.records.finding import Finding
from mixcl_auto.records.plan import (
    DatasetPlan,
    FinetunePlan,
    NetworkPlan,
    Plan,
    PreprocessPlan,
    PretrainPlan,
    plan_schema,
)
from mixcl_auto.records.plan_edits import edit_plan, plan_differences
from mixcl_auto.records.record import content_hash
from mixcl_auto.records.split import DatasetSplit, Fold


def test_records_are_frozen_and_refuse_unknown_keys():
    finding = Finding(severity="error", dataset="D", message="m")
    with pytest.raises(ValueError, match="frozen"):
        finding.message = "other"
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        Finding(severity="error", dataset="D", message="m", cause="x")


def test_records_come_back_from_json():
    plan = Plan(
        datasets=(DatasetPlan(name="D", role="both", labels={"a": 1}, cases=("x",), fingerprint="f"),)
    )
    assert Plan.from_json(plan.to_json(), source="plan.json") == plan


def test_every_mistake_is_named_with_file_and_field():
    text = '{"severity": "fatal", "dataset": 1, "colour": 2}'
    with pytest.raises(PlanError, match=r"(?s)x\.json: 4 mistake.*severity:.*dataset:.*message:.*colour:"):
        Finding.from_json(text, source="x.json", error=PlanError)


def test_infinite_numbers_are_refused():
    with pytest.raises(DataError, match="finite number"):
        Geometry.from_json(
            '{"size": [1, 1, 1], "spacing_mm": [1, 1, 1e999], "origin_mm": [0, 0, 0], "direction": '
            '[1, 0, 0, 0, 1, 0, 0, 0, 1], "orientation": "LPS"}',
            source="x",
        )


def test_the_hash_is_of_the_content():
    assert content_hash(PreprocessPlan()) == content_hash(PreprocessPlan(spacing_mm=(1.5, 1.5, 2.0)))
    assert content_hash(PreprocessPlan()) != content_hash(PreprocessPlan(spacing_mm=(1.5, 1.5, 2.5)))
    assert len(content_hash(PreprocessPlan())) == 12


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PreprocessPlan(window_hu=(5, 5)), "low < high"),
        (lambda: NetworkPlan(hidden_size=100, heads=12), "must be a multiple of heads 12"),
        (lambda: NetworkPlan(layers=6), "multiple of 4"),
        (lambda: NetworkPlan(patch_size=(96, 96, 90)), "multiple of 16"),
        (lambda: PretrainPlan(without=("identity", "label", "reconstruction")), "leave at least one"),
        (lambda: PretrainPlan(iterations=5, epochs=5), "either iterations or epochs"),
        (lambda: PretrainPlan(iterations=None), "either iterations or epochs"),
        (lambda: FinetunePlan(batch_size=0), "greater than 0"),
        (lambda: FinetunePlan(gradient_every=5), "gradient_every\n  Input should be 0"),
        (lambda: FinetunePlan(score_at=(0, 5)), r"score_at\.0\n  Input should be greater than 0"),
        (lambda: FinetunePlan(score_at=(5, 5)), r"score_at must ascend, each step once, got \[5, 5\]"),
        (lambda: FinetunePlan(score_at=(9, 5)), r"score_at must ascend, each step once, got \[9, 5\]"),
        (
            lambda: FinetunePlan(iterations=9, score_at=(5, 9)),
            "must stay below the 9 iterations, after which",
        ),
        (lambda: PretrainPlan(scale_range=(1.25, 0.85)), r"scale_range must be \(low, high\)"),
        (lambda: PretrainPlan(smoothing_sigma_voxels=(1, 0.5)), r"smoothing_sigma_voxels must be \(low"),
        (lambda: PretrainPlan(gamma_range=(1.5, 0.7)), r"gamma_range must be \(low, high\)"),
        (lambda: PretrainPlan(gamma_range=(0.5, 0.9)), "gamma_range must reach 1"),
    ],
)
def test_plans_that_contradict_themselves_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(("cases", "iterations"), [(1, 10), (2, 10), (3, 20), (8, 40)])
def test_epochs_are_passes_over_the_cases(cases, iterations):
    assert FinetunePlan(iterations=None, epochs=10, batch_size=2).total_iterations(cases) == iterations


def test_steps_to_score_may_lie_anywhere_where_epochs_are_counted():
    assert FinetunePlan(iterations=9, score_at=(1, 8)).score_at == (1, 8)
    assert FinetunePlan(iterations=None, epochs=1, score_at=(5, 900)).score_at == (5, 900)


def test_edits_reach_their_fields():
    edited = edit_plan(
        Plan(),
        [
            "preprocess.spacing_mm=[2, 2, 3]",
            "pretrain.epochs=4",
            'finetune.precision="fp32"',
            "pretrain.seed=7",
        ],
    )
    assert edited.preprocess.spacing_mm == (2.0, 2.0, 3.0)
    assert (edited.pretrain.epochs, edited.pretrain.iterations, edited.pretrain.seed) == (4, None, 7)
    assert edited.finetune.precision == "fp32"
    assert edit_plan(Plan(), ["finetune.precision=fp32"]) == edit_plan(Plan(), ['finetune.precision="fp32"'])


def test_the_label_loss_may_compare_several_levels():
    assert edit_plan(Plan(), ["pretrain.label_level=1"]) == Plan()
    assert Plan().pretrain.label_level == (1,)
    plan = edit_plan(Plan(), ["pretrain.label_level=[1, 2, 3]"])
    assert plan.pretrain.label_level == (1, 2, 3)
    assert Plan.from_json(plan.to_json(), source="", error=PlanError) == plan
    for value in ("[]", "[2, 1]", "[1, 1]", "5", "[1, 5]"):
        with pytest.raises(PlanError, match=r"pretrain.*label_level|label_level must name each level once"):
            edit_plan(Plan(), [f"pretrain.label_level={value}"])


def test_a_temperature_at_which_the_label_loss_overflows_is_refused():
    assert edit_plan(Plan(), ["pretrain.temperature=0.003"]).pretrain.temperature == 0.003
    with pytest.raises(PlanError, match=r"pretrain\.temperature: .* greater than or equal to 0\.003"):
        edit_plan(Plan(), ["pretrain.temperature=0.002"])


@pytest.mark.parametrize(
    "edit",
    ["experiment.inits=[scratch, mixcl]", "experiment.fraction_seeds={0.5: [0]}", "experiment.folds=[0,1"],
)
def test_lists_and_objects_that_are_no_json_are_told_how_to_quote(edit):
    with pytest.raises(PlanError) as caught:
        edit_plan(Plan(), [edit, "pretrain.seed=1"])
    told = str(caught.value)
    assert told.startswith(f"1 edit(s) can't be applied:\n  {edit}: no valid JSON; words and keys")
    quoted = [part for part in told.split("'") if part.startswith("experiment.") and "=" in part]
    assert len(quoted) == 2
    assert edit_plan(Plan(), quoted).experiment.fraction_seeds == {0.5: (0,)}


def test_all_edits_that_fail_are_named():
    with pytest.raises(
        PlanError, match=r"(?s)3 edit.*seed=1:.*pretrain\.sed=1: pretrain has no 'sed'.*datasets\.x"
    ):
        edit_plan(Plan(), ["seed=1", "pretrain.sed=1", "datasets.x=1", "pretrain.seed=2"])
    with pytest.raises(PlanError, match=r"the edited plan: 1 mistake.*\n.*network\.layers"):
        edit_plan(Plan(), ["network.layers=5"])


def test_differences_name_the_field_and_both_values():
    other = edit_plan(Plan(), ["pretrain.seed=3", "finetune.seed=4"])
    assert plan_differences(Plan(), other, ("pretrain",)) == ["pretrain.seed: 0 and 3"]
    assert plan_differences(Plan(), Plan()) == []


def test_an_unknown_dataset_lists_those_there_are():
    plan = Plan(
        datasets=(DatasetPlan(name="D", role="both", labels={"a": 1}, cases=("x",), fingerprint="f"),)
    )
    assert plan.dataset("D") in plan.pool
    assert plan.dataset("D") in plan.targets
    with pytest.raises(PlanError, match="no dataset 'E'; it has: D"):
        plan.dataset("E")


SPLIT = DatasetSplit(
    dataset="D",
    seed=0,
    folds=(Fold(training=tuple("abcdefghij"), held_out=("x",)), Fold(training=("x",), held_out=())),
)


@pytest.mark.parametrize(
    ("fraction", "cases"),
    [(0.01, "a"), (0.14, "a"), (0.15, "ab"), (0.25, "abc"), (0.5, "abcde"), (1.0, "abcdefghij")],
)
def test_a_fraction_takes_half_rounded_up_and_at_least_one_case(fraction, cases):
    assert SPLIT.training_cases(0, fraction) == tuple(cases)


@pytest.mark.parametrize("cases", [30, 33, 50, 90, 170])
def test_a_fraction_is_taken_as_it_is_written(cases):
    """0.35 * 90 + 1/2 is 32, and 31.999... in floating point."""
    ids = tuple(map(str, range(cases)))
    split = DatasetSplit(dataset="D", seed=0, folds=(Fold(training=ids, held_out=("x",)),))
    for percent in range(1, 101):
        expected = max(1, (2 * percent * cases + 100) // 200)
        assert len(split.training_cases(0, percent / 100)) == expected


@pytest.mark.parametrize("fraction", [0, -0.5, 1.01, 5])
def test_fractions_are_above_0_and_at_most_1(fraction):
    with pytest.raises(PlanError, match=r"fraction must be above 0 and at most 1 \(0\.05 is 5 %\)"):
        SPLIT.training_cases(0, fraction)


@pytest.mark.parametrize("fold", [-1, 2])
def test_a_missing_fold_lists_those_there_are(fold):
    with pytest.raises(PlanError, match=f"D has folds 0 to 1; got fold {fold}"):
        SPLIT.fold(fold)


def test_shipped_schema_is_that_of_the_plan() -> None:
    shipped = (Path(__file__).parents[2] / "plans" / "plan.schema.json").read_text(encoding="utf-8")
    assert shipped == plan_schema(), "make it again as plans/README.md says"


def test_schema_describes_fields_in_words() -> None:
    schema = json.loads(plan_schema())
    fields = schema["$defs"]["PretrainPlan"]["properties"]
    assert fields["same_image_probability"]["description"] == "How often P2 comes from P1's own scan."
    assert schema["$defs"]["PretrainPlan"]["additionalProperties"] is False
