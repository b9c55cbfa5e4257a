from collections import Counter

import pytest
from pydantic import ValidationError

from mixcl_auto.errors import PlanError
from mixcl_auto.records.experiment import (
    Pretraining,
    RunKey,
    check_experiment,
    planned_runs,
    planned_units,
    pretrainings_for,
)
from mixcl_auto.records.experiment_plan import ExperimentPlan
from mixcl_auto.records.plan import DatasetPlan, Plan, PretrainPlan


def make_plan(*targets: str, **experiment) -> Plan:
    datasets = tuple(
        DatasetPlan(name=name, role="target", labels={"liver": 1}, cases=("a",), fingerprint="0")
        for name in targets
    )
    return Plan(datasets=datasets, experiment=ExperimentPlan(**experiment))


PAPER = make_plan(
    "Spleen",
    "BTCV",
    target_fractions={"BTCV": (0.15, 0.5, 1.0)},
    target_ablation_fractions={"BTCV": (1.0,)},
)


def test_the_papers_experiment_is_90_fine_tunings_from_two_pre_trainings() -> None:
    runs = planned_runs(PAPER, {"Spleen": 5, "BTCV": 5})
    assert len(runs) == len(set(runs)) == 90
    made = pretrainings_for(PAPER, (run.init for run in runs))
    assert made == (
        Pretraining("mixcl"),
        Pretraining("no_reconstruction", without=("reconstruction",)),
    )


def test_the_tables_share_the_runs_that_both_need() -> None:
    first, second = (set(planned_runs(PAPER, {}, table)) for table in ("1", "2"))
    assert (len(first), len(second)) == (70, 30)
    shared = {run for run in first if run.dataset == "BTCV" and run.fraction == 1.0}
    assert first & second == shared
    assert len(shared) == 10


def test_every_share_of_labels_of_table_2_has_scratch_the_ablations_and_mixcl() -> None:
    plan = make_plan("T", folds=(0,), ablations={"a": ("label",), "b": ("identity",)}, inits=("scratch",))
    assert planned_runs(plan, {}, "2") == tuple(
        RunKey("T", init, 0.3, 0, 0) for init in ("scratch", "a", "b", "mixcl")
    )


def test_no_ablations_make_no_table_2() -> None:
    plan = make_plan("T", ablations={})
    assert planned_runs(plan, {}, "2") == ()
    assert planned_runs(plan, {}, "all") == planned_runs(plan, {}, "1")


def test_folds_that_a_target_does_not_have_are_not_run_and_every_seed_is() -> None:
    plan = make_plan("T", fractions=(1.0,), inits=("scratch",), seeds=(0, 7))
    assert [(run.fold, run.seed) for run in planned_runs(plan, {"T": 2}, "1")] == [
        (0, 0),
        (1, 0),
        (0, 7),
        (1, 7),
    ]


def test_all_runs_of_a_seed_and_fold_come_together() -> None:
    plan = make_plan("T", "U", fractions=(0.5, 1.0), folds=(0, 1), seeds=(0, 1), ablations={})
    units = [run.unit for run in planned_runs(plan, {})]
    assert units == sorted(units, key=lambda unit: (unit[1], unit[0]))


def test_a_share_of_labels_and_table_2_can_have_seeds_of_their_own() -> None:
    plan = make_plan(
        "T",
        fractions=(0.1, 1.0),
        folds=(0,),
        seeds=(0, 1, 2),
        fraction_seeds={1.0: (0,)},
        ablations={"a": ("label",)},
        ablation_inits=("by_hand",),
        ablation_fractions=(0.1,),
        ablation_seeds=(0,),
    )
    arms = Counter((run.init, run.fraction) for run in planned_runs(plan, {}))
    assert arms == {
        ("scratch", 0.1): 3,
        ("mixcl", 0.1): 3,
        ("scratch", 1.0): 1,
        ("mixcl", 1.0): 1,
        ("a", 0.1): 1,
        ("by_hand", 0.1): 1,
    }
    assert planned_units(plan, {}, ("T", "a", 0.1)) == ((0, 0),)
    assert planned_units(plan, {}, ("T", "mixcl", 0.1)) == ((0, 0), (0, 1), (0, 2))
    assert planned_units(plan, {}, ("T", "run by hand", 1.0)) == ((0, 0),)


def test_seeds_of_a_share_of_labels_that_is_not_run_are_refused() -> None:
    plan = make_plan("T", fractions=(0.1,), fraction_seeds={0.5: (0,)})
    with pytest.raises(PlanError, match=r"fraction_seeds: 0\.5 is no share of labels"):
        check_experiment(plan)


def test_seeds_by_share_of_labels_survive_json() -> None:
    experiment = ExperimentPlan(fraction_seeds={0.5: (0,), 1.0: (1, 2)})
    assert ExperimentPlan.from_json(experiment.to_json(), source="x") == experiment


def test_a_weights_file_is_called_by_its_stem() -> None:
    plan = make_plan("T", fractions=(1.0,), folds=(0,), inits=("weights/theirs.pt",))
    assert [run.init for run in planned_runs(plan, {}, "1")] == ["theirs"]


def test_random_weights_and_given_ones_need_no_pre_training() -> None:
    assert pretrainings_for(PAPER, ("scratch", "scratch-2", "by_hand", "supervised", "supervised")) == (
        Pretraining("supervised", method="supervised"),
    )


@pytest.mark.parametrize("name", ["scratch-9", "Scratchy", "mixcl", "supervised", "../up", "a b", ""])
def test_an_ablation_may_not_be_called_as_other_weights_are(name: str) -> None:
    with pytest.raises(ValidationError, match="an ablation can't be called"):
        ExperimentPlan(ablations={name: ("label",)})


@pytest.mark.parametrize("terms", [(), ("label", "identity", "reconstruction")])
def test_an_ablation_leaves_out_one_or_two_terms(terms: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="must leave out one or two"):
        ExperimentPlan(ablations={"a": terms})


def test_fractions_of_unknown_targets_are_refused() -> None:
    plan = make_plan(
        "T", target_fractions={"U": (1.0,)}, target_ablation_fractions={"T": (1.0,), "V": (1.0,)}
    )
    with pytest.raises(PlanError, match=r"target_fractions: U is no target.*\n.*ablation_fractions: V is no"):
        check_experiment(plan)
    check_experiment(PAPER)


def test_an_ablation_that_leaves_no_term_beside_the_plans_own_is_refused() -> None:
    plan = make_plan("T", ablations={"a": ("label", "identity")})
    plan = plan.model_copy(update={"pretrain": PretrainPlan(without=("reconstruction",))})
    with pytest.raises(PlanError, match=r"experiment\.ablations\.a: with pretrain\.without no term is left"):
        check_experiment(plan)


def test_the_supervised_arm_does_not_go_with_terms_left_out_in_the_plan() -> None:
    plan = make_plan("T", inits=("scratch", "supervised"))
    check_experiment(plan)
    plan = plan.model_copy(update={"pretrain": PretrainPlan(without=("label",))})
    with pytest.raises(PlanError, match=r"experiment\.inits: supervised has no terms to leave out"):
        check_experiment(plan)
