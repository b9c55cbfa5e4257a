import pytest

from mixcl_auto.metrics.averaging import Interval
from mixcl_auto.reporting.arms import Difference, fold_interval
from mixcl_auto.reporting.findings import findings_markdown, multiplicity_note
from mixcl_auto.reporting.grid import collect_grid
from mixcl_auto.reporting.headline import headline, outcome_of


def verdicts(lab):
    return headline(collect_grid(lab.workspace, lab.plan, "plan"))


def fill(lab, **dice_per_fold):
    """Runs of 'scratch', 'scratch_2', ...: a Dice per fold at 5 %."""
    for init, values in dice_per_fold.items():
        for fold, dice in enumerate(values):
            method = "supervised" if init == "supervised" else "mixcl"
            lab.finetune(init.replace("_", "-"), 0.05, fold, dice, method=method)
    return lab


@pytest.fixture
def lab(make_lab):
    return make_lab(fractions=(0.05,), inits=("scratch", "mixcl"))


def test_a_difference_whose_interval_holds_zero_is_not_called_one(lab):
    (verdict,) = verdicts(fill(lab, scratch=[0.5, 0.4, 0.9], mixcl=[0.56, 0.39, 0.92]))
    assert verdict.outcome == "no difference shown"
    # differences 0.06, -0.01, 0.02: mean 0.0233, s = 0.0351, t(0.975, 2) = 4.3027
    assert verdict.sentence == (
        "Target_1, 5 % of the labels: mixcl is 0.023 Dice above scratch "
        "(95 % interval -0.064 to +0.111 over 3 runs): no difference is shown."
    )
    assert verdict.difference == pytest.approx(0.07 / 3)
    assert (verdict.pairs, verdict.expected, verdict.caution) == (3, 3, "")
    assert (verdict.question, verdict.init, verdict.baseline) == ("pre-training", "mixcl", "scratch")


@pytest.mark.parametrize(
    ("mixcl", "outcome", "words"),
    [
        ([0.60, 0.51, 1.0], "higher", "is 0.103 Dice above scratch (95 % interval +0.089 to +0.118 over"),
        ([0.40, 0.29, 0.8], "lower", "is 0.103 Dice below scratch (95 % interval -0.118 to -0.089 over"),
    ],
)
def test_gains_and_losses(lab, mixcl, outcome, words):
    (verdict,) = verdicts(fill(lab, scratch=[0.5, 0.4, 0.9], mixcl=mixcl))
    assert verdict.outcome == outcome
    assert words in verdict.sentence
    assert verdict.sentence.endswith(": a gain." if outcome == "higher" else ": a loss.")
    assert "No control of other random weights has two folds" in verdict.caution


def test_one_pair_of_runs_is_too_few_however_large_the_difference(lab):
    (verdict,) = verdicts(fill(lab, scratch=[0.1, 0.2], mixcl=[0.9]))
    assert (verdict.outcome, verdict.interval, verdict.pairs) == ("too few runs", None, 1)
    assert verdict.sentence == (
        "Target_1, 5 % of the labels: mixcl is 0.800 Dice above scratch in 1 of 3 runs: too few for an "
        "interval, so nothing is shown; it takes two runs (folds or seeds) that both have."
    )


def test_a_lone_planned_run_is_a_run(make_lab):
    lab = fill(make_lab(fractions=(0.05,), folds=(0,)), scratch=[0.1], mixcl=[0.9])
    assert "above scratch in 1 run: too few" in verdicts(lab)[0].sentence


def test_unfinished_comparisons_say_how_many_runs_they_have(lab):
    (verdict,) = verdicts(fill(lab, scratch=[0.5, 0.4], mixcl=[0.56, 0.39, 0.92]))
    assert "over 2 of 3 runs" in verdict.sentence


def test_equal_arms_are_level(lab):
    (verdict,) = verdicts(fill(lab, scratch=[0.5, 0.4, 0.9], mixcl=[0.5, 0.4, 0.9]))
    assert verdict.outcome == "no difference shown"
    assert "mixcl is level in Dice with scratch (95 % interval +0.000 to +0.000" in verdict.sentence


def test_figures_that_are_not_zero_are_never_printed_as_zero(lab):
    (verdict,) = verdicts(fill(lab, scratch=[0.5, 0.4, 0.9], mixcl=[0.50012, 0.40013, 0.90014]))
    assert verdict.outcome == "higher"
    assert "0.0001 Dice above scratch (95 % interval +0.0001 to +0.0002" in verdict.sentence


def test_comparisons_without_a_common_run_have_no_verdict(lab):
    lab.finetune("scratch", 0.05, 0, 0.5)
    lab.finetune("mixcl", 0.05, 1, 0.5)
    assert verdicts(lab) == []


@pytest.fixture
def full_lab(make_lab):
    return make_lab(fractions=(0.05,), inits=("scratch", "scratch-2", "supervised", "mixcl"))


def test_mixcl_comes_first_and_the_control_last(full_lab):
    fill(full_lab, scratch=[0.5, 0.4], scratch_2=[0.5, 0.4], supervised=[0.6, 0.5], mixcl=[0.7, 0.6])
    assert [(v.question, v.init, v.baseline) for v in verdicts(full_lab)] == [
        ("pre-training", "mixcl", "scratch"),
        ("pre-training", "supervised", "scratch"),
        ("objective", "mixcl", "supervised"),
        ("control", "scratch-2", "scratch"),
    ]


def test_a_gain_that_redrawn_weights_may_also_make_is_marked(full_lab):
    # control: differences -0.03, 0.05, -0.1: mean -0.0267, s = 0.0751, so that its interval begins at -0.213
    fill(full_lab, scratch=[0.5, 0.4, 0.9], scratch_2=[0.47, 0.45, 0.8], mixcl=[0.55, 0.45, 0.951])
    mixcl, control = verdicts(full_lab)
    assert (mixcl.outcome, control.outcome) == ("higher", "no difference shown")
    assert mixcl.caution == (
        "The gain is not larger than what other random weights alone may do: the interval of scratch-2 minus "
        "scratch over 3 runs reaches 0.213 from 0."
    )
    assert control.caution == ""


def test_a_gain_beyond_the_control_is_not_marked(full_lab):
    fill(full_lab, scratch=[0.5, 0.4, 0.3], scratch_2=[0.53, 0.35, 0.32], mixcl=[0.8, 0.7, 0.6])
    assert verdicts(full_lab)[0].caution == ""


def test_a_control_that_differs_from_scratch_is_a_warning(full_lab):
    fill(full_lab, scratch=[0.5, 0.4, 0.3], scratch_2=[0.54, 0.45, 0.34], mixcl=[0.55, 0.45, 0.35])
    mixcl, control = verdicts(full_lab)
    assert control.outcome == "higher"
    assert "chance alone makes such a difference here" in control.caution
    assert mixcl.caution.startswith("The gain is not larger than")


def test_the_farthest_of_several_controls_counts(make_lab):
    lab = make_lab(fractions=(0.05,), inits=("scratch", "scratch-2", "scratch-3", "mixcl"))
    scratch = [0.5, 0.4, 0.3]
    fill(lab, scratch=scratch, scratch_2=scratch, scratch_3=[0.6, 0.25, 0.35], mixcl=[0.6, 0.5, 0.401])
    assert "the interval of scratch-3 minus scratch" in verdicts(lab)[0].caution


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [
        (Interval(0.1, 0.0, 0.2), "no difference shown"),
        (Interval(-0.1, -0.2, 0.0), "no difference shown"),
        (Interval(0.1, 1e-9, 0.2), "higher"),
        (Interval(-0.1, -0.2, -1e-9), "lower"),
        (None, "too few runs"),
    ],
)
def test_the_ends_of_an_interval_are_inside(interval, outcome):
    assert outcome_of(Difference(3, 3, 0.1, interval)) == outcome


@pytest.fixture
def seeded_lab(make_lab):
    return make_lab(fractions=(0.05,), folds=(0, 1), seeds=(0, 1, 2), inits=("scratch", "mixcl"))


def fill_seeds(lab, gains):
    """Gains of mixcl, a row of seeds per fold."""
    for fold, row in enumerate(gains):
        for seed, gain in enumerate(row):
            lab.finetune("scratch", 0.05, fold, 0.3, seed=seed)
            lab.finetune("mixcl", 0.05, fold, 0.3 + gain, seed=seed)
    return lab


def test_seeds_that_agree_are_no_gain_where_their_folds_do_not(seeded_lab):
    (verdict,) = verdicts(fill_seeds(seeded_lab, [[0.10, 0.11, 0.12], [0.04, 0.05, 0.06]]))
    # over runs it would be 0.044 to 0.116; fold means 0.11 and 0.05: half = 12.7062 x 0.03 = 0.381
    assert verdict.outcome == "no difference shown"
    assert verdict.sentence.endswith(
        "(95 % interval -0.301 to +0.461 over 2 folds, 6 runs): no difference is shown."
    )
    assert verdict.caution == ""


def test_folds_that_agree_are_a_gain_whatever_their_seeds_do(seeded_lab):
    (verdict,) = verdicts(fill_seeds(seeded_lab, [[0.0, 0.10, 0.23], [0.05, 0.11, 0.171]]))
    assert verdict.outcome == "higher"
    assert verdict.sentence.endswith("over 2 folds, 6 runs): a gain.")


def test_a_fold_weighs_as_much_as_another_that_has_more_seeds(seeded_lab):
    (verdict,) = verdicts(fill_seeds(seeded_lab, [[0.1, 0.1, 0.1], [0.2]]))
    assert verdict.difference == pytest.approx(0.15)
    assert verdict.interval.mean == pytest.approx(0.15)


def test_the_caution_holds_a_gain_against_the_folds_of_the_control(make_lab):
    lab = make_lab(fractions=(0.05,), folds=(0, 1), seeds=(0, 1, 2), inits=("scratch", "scratch-2", "mixcl"))
    fill_seeds(lab, [[0.10, 0.11, 0.12], [0.10, 0.111, 0.12]])
    for fold, gain in enumerate((0.02, -0.02)):
        for seed in (0, 1, 2):
            lab.finetune("scratch-2", 0.05, fold, 0.3 + gain, seed=seed)
    # control: 0 +- 12.7062 x 0.02 over fold means
    assert verdicts(lab)[0].caution == (
        "The gain is not larger than what other random weights alone may do: the interval of scratch-2 minus "
        "scratch over 2 folds, 6 runs reaches 0.254 from 0."
    )


def test_the_interval_of_one_fold_is_over_its_seeds():
    assert fold_interval({(0, 0): 0.1, (0, 1): 0.12}) == fold_interval({(0, 0): 0.1, (1, 0): 0.12})
    assert fold_interval({(0, 0): 0.1}) is None


def test_a_control_of_one_fold_is_no_measure_of_chance(make_lab):
    lab = make_lab(fractions=(0.05,), folds=(0, 1), seeds=(0, 1), inits=("scratch", "scratch-2", "mixcl"))
    fill_seeds(lab, [[0.10, 0.11], [0.10, 0.11]])
    for seed, gain in enumerate((0.3, -0.3)):
        lab.finetune("scratch-2", 0.05, 0, 0.3 + gain, seed=seed)
    assert verdicts(lab)[0].caution == (
        "No control of other random weights has two folds, so the gain can't be held against chance."
    )


def test_weights_of_another_rate_at_level_0_than_their_control_are_marked(make_lab):
    lab = make_lab(fractions=(0.05,), folds=(0, 1), inits=("scratch", "scratch-slow", "mixcl"))
    fill(lab, scratch=[0.3, 0.3], mixcl=[0.5, 0.5])
    for fold in (0, 1):
        lab.finetune("scratch-slow", 0.05, fold, 0.3)
    cautions = {v.question: v.caution for v in verdicts(lab)}
    assert "level 0" not in cautions["weights"]
    lab.pretrain("mixcl", hand_on_level_0=False)
    cautions = {v.question: v.caution for v in verdicts(lab)}
    assert cautions["weights"] == (
        "At level 0 the two differ in rate too: mixcl has the full one and scratch-slow has the low one."
    )
    assert "level 0" not in cautions["pre-training"]


def test_a_loss_to_the_baseline_is_not_held_against_other_random_weights(full_lab):
    fill(full_lab, scratch=[0.3, 0.4], scratch_2=[0.6, 0.1], supervised=[0.6, 0.7], mixcl=[0.5, 0.6])
    (objective,) = [v for v in verdicts(full_lab) if v.question == "objective"]
    assert (objective.outcome, objective.caution) == ("lower", "")


def test_an_ablation_is_compared_with_the_mixcl_of_its_recipe_alone(make_lab):
    lab = make_lab(fractions=(0.05,), folds=(0, 1), inits=("scratch", "mixcl", "other"))
    lab.pretrain("mixcl")
    lab.pretrain("other", temperature=0.2)
    lab.pretrain("no_label", without=("label",), workers=9)
    for init, dice in (("mixcl", 0.5), ("other", 0.6), ("no_label", 0.4)):
        for fold in (0, 1):
            without = ("label",) if init == "no_label" else ()
            lab.finetune(init, 0.05, fold, dice + 0.001 * fold, without=without)
    (verdict,) = verdicts(lab)
    assert (verdict.question, verdict.init, verdict.baseline) == ("ablation", "no_label", "mixcl")
    assert verdict.difference == pytest.approx(-0.1)
    assert "Without it, minus the whole" in findings_markdown([verdict])


def test_runs_that_found_nothing_are_no_equal_arms(full_lab):
    zeros = [0.0, 0.0, 0.0]
    fill(full_lab, scratch=zeros, scratch_2=zeros, supervised=zeros, mixcl=[0.3, 0.31, 0.32])
    mixcl, supervised, _, control = verdicts(full_lab)
    assert (supervised.outcome, supervised.interval, supervised.difference) == ("nothing found", None, 0.0)
    assert supervised.sentence == (
        "Target_1, 5 % of the labels: supervised and scratch: neither arm found any organ in 3 runs: the "
        "runs are too short or failed."
    )
    assert (control.outcome, control.caution) == ("nothing found", "")
    # A control that is 0 throughout is no missing one.
    assert (mixcl.outcome, mixcl.caution) == ("higher", "")


def test_arms_that_find_the_same_are_not_called_empty(lab):
    (verdict,) = verdicts(fill(lab, scratch=[0.0, 0.0, 0.1], mixcl=[0.0, 0.0, 0.1]))
    assert verdict.outcome == "no difference shown"


def test_findings_say_how_many_chance_makes(full_lab):
    fill(full_lab, scratch=[0.5, 0.4], scratch_2=[0.5, 0.4], supervised=[0.6, 0.5], mixcl=[0.7])
    found = verdicts(full_lab)
    assert len(found) == 4
    # mixcl has one run, and so no interval in either of its comparisons
    assert multiplicity_note(found).startswith(
        "2 comparisons, each at 95 %: about 0.1 come out as a gain or a loss by chance alone. Folds share "
    )
    assert findings_markdown(found).endswith(f"\n\n{multiplicity_note(found)}\n")
    assert multiplicity_note(found[:2]) == ""


def test_names_are_no_markup_in_the_findings(make_lab):
    lab = make_lab(fractions=(0.05,), inits=("scratch", "a*b*<i>"))
    fill(lab, scratch=[0.5, 0.4])
    for fold in (0, 1):
        lab.finetune("a*b*<i>", 0.05, fold, 0.6)
    assert r"a\*b\*\<i> is" in findings_markdown(verdicts(lab))


def test_seeds_of_a_single_fold_show_nothing_beyond_it(make_lab):
    lab = make_lab(fractions=(0.05,), folds=(0,), seeds=(0, 1, 2))
    for seed, gain in enumerate((0.10, 0.11, 0.10)):
        lab.finetune("scratch", 0.05, 0, 0.5, seed=seed)
        lab.finetune("mixcl", 0.05, 0, 0.5 + gain, seed=seed)
    (verdict,) = verdicts(lab)
    assert verdict.outcome == "too few runs"
    assert verdict.sentence.endswith(
        "over 3 runs of one fold): of that fold's cases alone, so nothing is shown; it takes other folds."
    )
    assert verdict.caution == ""


def test_slow_random_weights_tell_the_weights_from_their_rate(make_lab):
    lab = make_lab(fractions=(0.05,), inits=("scratch", "scratch-2", "scratch-slow", "mixcl"))
    fill(
        lab,
        scratch=[0.5, 0.4, 0.9],
        scratch_2=[0.51, 0.39, 0.9],
        scratch_slow=[0.58, 0.49, 0.98],
        mixcl=[0.6, 0.5, 1.0],
    )
    found = {(v.question, v.init, v.baseline): v for v in verdicts(lab)}
    assert list(found) == [
        ("pre-training", "mixcl", "scratch"),
        ("weights", "mixcl", "scratch-slow"),
        ("rate", "scratch-slow", "scratch"),
        ("control", "scratch-2", "scratch"),
    ]
    assert found["weights", "mixcl", "scratch-slow"].difference == pytest.approx(0.05 / 3)
    rate = found["rate", "scratch-slow", "scratch"]
    assert (rate.outcome, rate.caution) == ("higher", "")


def test_a_target_within_the_pool_is_not_to_be_trusted(full_lab):
    both = full_lab.plan.dataset("Target_1").model_copy(update={"role": "both"})
    full_lab.plan = full_lab.plan.model_copy(update={"datasets": (full_lab.plan.datasets[0], both)})
    fill(full_lab, scratch=[0.5, 0.4, 0.9], scratch_2=[0.51, 0.39, 0.9], mixcl=[0.6, 0.5, 1.0])
    cautions = {verdict.question: verdict.caution for verdict in verdicts(full_lab)}
    assert cautions["pre-training"].startswith("Target_1 was in the pool that mixcl was pre-trained on")
    assert "pool" not in cautions["control"]


def test_a_pre_training_that_has_seen_the_target_stays_so_when_the_plan_is_made_anew(full_lab) -> None:
    planned = full_lab.plan
    both = planned.dataset("Target_1").model_copy(update={"role": "both"})
    full_lab.plan = planned.model_copy(update={"datasets": (planned.datasets[0], both)})
    full_lab.pretrain("mixcl")
    full_lab.plan = planned
    full_lab.pretrain("supervised", method="supervised")
    fill(full_lab, scratch=[0.5, 0.4, 0.9], mixcl=[0.6, 0.5, 1.0], supervised=[0.6, 0.5, 0.9])
    cautions = {(verdict.question, verdict.init): verdict.caution for verdict in verdicts(full_lab)}
    seen = "Target_1 was in the pool that mixcl was pre-trained on"
    assert cautions["pre-training", "mixcl"].startswith(seen)
    assert cautions["objective", "mixcl"].startswith(seen)
    assert "pool" not in cautions["pre-training", "supervised"]


def test_weights_that_were_fine_tuned_on_the_target_before_are_not_to_be_trusted(full_lab) -> None:
    for fold in range(3):
        full_lab.finetune("scratch", 0.3, fold, 0.4 + 0.01 * fold)
        full_lab.finetune("tuned", 0.3, fold, 0.6, method="unknown", weights="a", tuned_on="Target_1")
        full_lab.finetune("other", 0.3, fold, 0.6, method="unknown", weights="b", tuned_on="Target_2")
    cautions = {verdict.init: verdict.caution for verdict in verdicts(full_lab)}
    told = "The weights tuned were fine-tuned on Target_1 before"
    assert told in cautions["tuned"]
    assert "fine-tuned" not in cautions["other"]


def test_an_encoder_of_elsewhere_whose_pool_had_the_target_is_not_to_be_trusted(full_lab) -> None:
    for fold in range(3):
        full_lab.finetune("scratch", 0.3, fold, 0.4 + 0.01 * fold)
        full_lab.finetune("seen", 0.3, fold, 0.6, weights="a", pool=("Target_1",))
        full_lab.finetune("unseen", 0.3, fold, 0.6, weights="b", pool=("Elsewhere",))
    cautions = {verdict.init: verdict.caution for verdict in verdicts(full_lab)}
    assert cautions["seen"].startswith("Target_1 was in the pool that seen was pre-trained on")
    assert "pool" not in cautions["unseen"]


def test_an_ablation_at_a_share_of_its_own_has_a_sentence_and_nothing_else_has(full_lab) -> None:
    full_lab.pretrain("mixcl")
    full_lab.pretrain("no_reconstruction", without=("reconstruction",))
    for fold in range(3):
        for init, dice in (("scratch", 0.4), ("mixcl", 0.6), ("no_reconstruction", 0.5 + 0.01 * fold)):
            without = ("reconstruction",) if init == "no_reconstruction" else ()
            full_lab.finetune(init, 0.3, fold, dice, without=without)
    (found,) = verdicts(full_lab)
    assert (found.question, found.init, found.baseline) == ("ablation", "no_reconstruction", "mixcl")
    assert found.outcome == "lower"
