from pathlib import Path

import pytest

from mixcl_auto.errors import RunError
from mixcl_auto.io.workspace import previous_checkpoint
from mixcl_auto.records.plan import DatasetPlan, Plan
from mixcl_auto.records.plan_edits import edit_plan
from mixcl_auto.records.run import Environment, FinetuneRun, LoadedWeights, PretrainRun
from mixcl_auto.training.earlier_runs import (
    begun_precision,
    read_run,
    refuse_other_finetuning,
    refuse_other_pretraining,
)

LIVER = DatasetPlan(name="Liver", role="pretrain", labels={"liver": 1}, cases=("a", "b"), fingerprint="x")
SPLEEN = DatasetPlan(name="Spleen", role="target", labels={"spleen": 1}, cases=("c",), fingerprint="y")
PLAN = Plan(datasets=(LIVER, SPLEEN))
ENVIRONMENT = Environment(mixcl_auto="0", torch="0", python="3.11", device="cpu", precision="fp32", threads=1)
WEIGHTS = LoadedWeights(source="mixcl", sha256="0", loaded=("vit.norm.weight",))


def finetuning(weights: LoadedWeights | None) -> FinetuneRun:
    return FinetuneRun(
        dataset="Spleen",
        init="mixcl" if weights else "scratch",
        fraction=0.05,
        fold=0,
        seed=0,
        plan=PLAN,
        status="finished",
        environment=ENVIRONMENT,
        weights=weights,
        training_cases=("c",),
        held_out_cases=(),
        parameters=1,
        iterations=1,
    )


def refuse(before: Plan, now: Plan) -> None:
    refuse_other_pretraining(Path("results/plan/pretrain/mixcl"), before, now)


def test_same_plan_is_accepted() -> None:
    refuse(PLAN, PLAN.model_copy())


def test_fields_without_effect_and_other_sections_may_differ() -> None:
    edits = [
        "pretrain.workers=7",
        "pretrain.checkpoint_every=3",
        "finetune.learning_rate=1",
        "inference.overlap=0.25",
    ]
    refuse(PLAN, edit_plan(PLAN, edits))
    edits = ["finetune.score_at=[5]", "finetune.workers=7"]
    refuse_other_finetuning(Path("results"), finetuning(WEIGHTS), edit_plan(PLAN, edits))


def test_the_rate_of_transferred_weights_has_no_effect_where_there_are_none() -> None:
    slower = edit_plan(PLAN, ["finetune.transferred_rate=0.1"])
    refuse_other_finetuning(Path("results"), finetuning(None), slower)
    with pytest.raises(RunError, match=r"finetune\.transferred_rate: 1\.0 and 0\.1"):
        refuse_other_finetuning(Path("results"), finetuning(WEIGHTS), slower)
    as_slow = finetuning(None).model_copy(update={"init": "scratch-slow"})
    with pytest.raises(RunError, match=r"finetune\.transferred_rate: 1\.0 and 0\.1"):
        refuse_other_finetuning(Path("results"), as_slow, slower)
    with pytest.raises(RunError, match=r"finetune\.learning_rate"):
        refuse_other_finetuning(
            Path("results"), finetuning(None), edit_plan(slower, ["finetune.learning_rate=1"])
        )


def test_what_level_0_hands_on_matters_to_the_control_at_the_same_rate() -> None:
    without = edit_plan(PLAN, ["pretrain.hand_on_level_0=false"])
    for run in (finetuning(None), finetuning(WEIGHTS)):
        refuse_other_finetuning(Path("results"), run, without)
    as_slow = finetuning(None).model_copy(update={"init": "scratch-slow"})
    with pytest.raises(RunError, match=r"pretrain\.hand_on_level_0: True and False"):
        refuse_other_finetuning(Path("results"), as_slow, without)


def test_every_differing_field_is_listed() -> None:
    edited = edit_plan(PLAN, ["pretrain.seed=3", "preprocess.window_hu=[0, 100]"])
    with pytest.raises(RunError) as caught:
        refuse(PLAN, edited)
    assert str(caught.value).splitlines() == [
        "results/plan/pretrain/mixcl holds a run of another plan (its value, then this plan's):",
        "  preprocess.window_hu: [-150.0, 250.0] and [0.0, 100.0]",
        "  pretrain.seed: 0 and 3",
        "pre-train under another name (--name), or remove that folder to start again",
    ]


def test_other_cases_and_other_pool_are_listed() -> None:
    changed = LIVER.model_copy(update={"cases": ("a",)})
    with pytest.raises(RunError, match=r"datasets\.Liver\.cases: not the same"):
        refuse(PLAN, PLAN.model_copy(update={"datasets": (changed, SPLEEN)}))
    pooled = SPLEEN.model_copy(update={"role": "both"})
    with pytest.raises(RunError, match=r"datasets\.Spleen: not used then"):
        refuse(PLAN, PLAN.model_copy(update={"datasets": (LIVER, pooled)}))
    with pytest.raises(RunError, match=r"datasets\.Liver: used then, not now"):
        refuse(PLAN, PLAN.model_copy(update={"datasets": (SPLEEN,)}))


def test_datasets_that_the_run_does_not_use_may_differ() -> None:
    refuse(PLAN, PLAN.model_copy(update={"datasets": (LIVER,)}))


def test_folder_without_a_record_has_no_run(tmp_path: Path) -> None:
    assert read_run(tmp_path / "run.json", PretrainRun) is None


def test_malformed_record_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"name": "mixcl"}')
    with pytest.raises(RunError, match=r"run\.json: \d+ mistake\(s\)"):
        read_run(tmp_path / "run.json", PretrainRun)


def test_a_run_goes_on_in_the_precision_that_it_began_in(tmp_path: Path) -> None:
    cpu, checkpoint = "cpu", tmp_path / "checkpoint.pt"
    before = finetuning(None)  # in fp32
    assert begun_precision(before, checkpoint, "auto", cpu) == "auto"
    previous_checkpoint(checkpoint).touch()  # as a kill between the two renames leaves it
    assert begun_precision(before, checkpoint, "auto", cpu) == "fp32"
    checkpoint.touch()
    assert begun_precision(before, checkpoint, "auto", cpu) == "fp32"
    assert begun_precision(before, checkpoint, "bf16", cpu) == "bf16"
    assert begun_precision(None, checkpoint, "auto", cpu) == "auto"
    environment = ENVIRONMENT.model_copy(update={"precision": "fp16"})
    on_gpu = before.model_copy(update={"environment": environment})
    assert begun_precision(on_gpu, checkpoint, "auto", "cuda") == "fp16"
    with pytest.raises(RunError, match="began in fp16 on a GPU and can't go on in it on cpu"):
        begun_precision(on_gpu, checkpoint, "auto", cpu)
