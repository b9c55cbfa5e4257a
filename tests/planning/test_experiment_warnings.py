import pytest

from mixcl_auto.errors import PlanError
from mixcl_auto.planning.experiment_warnings import experiment_warnings, warmup_warning
from mixcl_auto.planning.split import make_split
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.plan_edits import edit_plan


@pytest.fixture
def warned(make):
    """The warnings of a plan with a pool and a target of five folds, after edits."""
    cases = [make.case(name) for name in "abcde"]
    split = make_split("Spleen", cases)

    def warn(*edits):
        plan = edit_plan(Plan(), edits)
        datasets = tuple(
            {"name": name, "role": role, "labels": {"organ": 1}, "cases": tuple("abcde"), "fingerprint": ""}
            for name, role in (("Spleen", "target"), ("Pool", "pretrain"))
        )
        plan = Plan.model_validate(plan.model_dump() | {"datasets": datasets})
        return list(experiment_warnings(plan, [split]))

    return warn


def test_the_presets_fields_bring_none(warned):
    assert warned() == []


def test_folds_that_a_target_has_not_are_told_of(warned):
    assert warned("experiment.folds=[0,5,7]") == [
        "Spleen has the folds 0 to 4; of experiment.folds it leaves out 5, 7"
    ]


@pytest.mark.parametrize("field", ["inits", "ablation_inits"])
def test_pre_trainings_that_the_experiment_does_not_make_are_told_of_with_the_closest_name(warned, field):
    told = warned(f'experiment.{field}=["scratch-3","scratch-slow","mixcl","supervized","other","enc.pt"]')
    assert told == [
        f"experiment.{field}: supervized is no pre-training that `experiment` makes; make it first, by "
        "`pretrain --name supervized`; if supervised is meant, correct it",
        f"experiment.{field}: other is no pre-training that `experiment` makes; make it first, by "
        "`pretrain --name other`",
    ]


def test_an_ablation_is_made_by_the_experiment(warned):
    assert warned('experiment.ablations={"bare":["label"]}', 'experiment.inits=["scratch","bare"]') == []


@pytest.mark.parametrize("init", ["scratch2", "scratch-1", "Scratch", "scratch-fast"])
def test_misspelt_random_weights_are_refused(warned, init):
    with pytest.raises(
        PlanError, match=rf"{init} names no initial weights: random ones are scratch, scratch-2"
    ):
        warned(f'experiment.inits=["scratch","{init}"]')


def test_a_warm_up_that_takes_most_of_a_training_is_told_of(warned):
    assert warned("pretrain.iterations=80", "pretrain.warmup_iterations=41") == [
        "pretrain.warmup_iterations is 41 of 80 steps, in which the rate rises; set it to 8 or so"
    ]
    assert warned("pretrain.iterations=80", "pretrain.warmup_iterations=40") == []


def test_a_fine_tuning_in_epochs_counts_the_steps_of_its_smallest_share(warned):
    """4 training cases a fold, one of them at 25 %: an epoch is 4 steps of one scan, or 1."""
    edits = ["experiment.fractions=[0.25,1]", "finetune.iterations=null", "finetune.epochs=30"]
    (told,) = warned(*edits, "finetune.batch_size=1", "finetune.warmup_iterations=20")
    assert told.startswith("finetune.warmup_iterations is 20 of 30 steps")


def test_without_a_warm_up_one_step_is_enough():
    trainer = Plan().finetune.model_copy(update={"iterations": 1, "warmup_iterations": 0})
    assert warmup_warning("finetune", trainer, 1) is None
