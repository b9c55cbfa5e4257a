import pytest

from mixcl_auto.errors import DataError, PlanError
from mixcl_auto.io.plans import read_fingerprint, read_plan, read_split
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.planning.plan import make_plan, save_planned
from mixcl_auto.planning.presets import PRESETS, load_preset


def inspections(make, datasets, **changes):
    return [
        make.inspection(dataset.name, case.id, **changes) for dataset in datasets for case in dataset.cases
    ]


@pytest.fixture
def datasets(make):
    return [make.dataset("P", "pretrain", "abc"), make.dataset("T", "target", "defghi")]


@pytest.fixture
def plan(make, datasets):
    def plan_with(preset="tiny", machine=None, changes=None, **options):
        found = inspections(make, datasets, **(changes or {}))
        return make_plan(preset, datasets, found, machine or make.machine(2, gpu=True), **options)

    return plan_with


def decision(planned, field):
    (found,) = [item for item in planned.plan.decisions if item.field == field]
    return found


@pytest.mark.parametrize("name", PRESETS)
def test_presets_name_themselves(name):
    preset = load_preset(name)
    assert preset.preset == name
    assert preset.description


def test_an_unknown_preset_is_refused():
    with pytest.raises(PlanError, match="no preset 'huge'; there are: paper, balanced, tiny"):
        load_preset("huge")


def test_the_paper_preset_keeps_every_printed_value(plan):
    found = plan("paper", changes={"size": (512, 512, 200), "spacing_mm": (0.8, 0.8, 2.5)}).plan
    assert found.preprocess.spacing_mm == (1.5, 1.5, 2.0)
    assert found.preprocess.window_hu == (-150, 250)
    assert (found.network.patch_size, found.network.hidden_size) == ((96, 96, 96), 768)
    assert (found.pretrain.batch_size, found.pretrain.iterations, found.pretrain.learning_rate) == (
        6,
        1000,
        1e-4,
    )
    assert (found.finetune.batch_size, found.finetune.iterations) == (2, 2000)
    assert (found.pretrain.label_weight, found.pretrain.identity_reduction) == (0.01, "sum")


def test_datasets_are_entered_with_their_cases_and_hashes(plan, tmp_path):
    planned = plan()
    pool, target = planned.plan.datasets
    assert (pool.cases, pool.split, pool.is_target) == (("a", "b", "c"), None, False)
    assert len(planned.splits) == 1
    workspace = Workspace(tmp_path)
    assert save_planned(workspace, "plan", planned) is None
    assert read_plan(workspace.plan("plan")) == planned.plan
    assert read_fingerprint(workspace, pool) == planned.fingerprints[0]
    assert read_split(workspace, target) == planned.splits[0]


def test_the_same_input_gives_the_same_plan(plan):
    assert plan() == plan()


def test_auto_spacing_measures_the_pool_and_not_the_targets(make, datasets):
    found = [
        make.inspection(dataset.name, case.id, spacing_mm=(2, 2, 2) if dataset.name == "P" else (5, 5, 5))
        for dataset in datasets
        for case in dataset.cases
    ]
    planned = make_plan("tiny", datasets, found, make.machine(), spacing="auto")
    assert planned.plan.preprocess.spacing_mm == (2.0, 2.0, 2.0)
    assert decision(planned, "preprocess.spacing_mm").reason == "median of 3 cases"


def test_auto_spacing_measures_the_targets_where_there_is_no_pool(make):
    target = [make.dataset("T", "target", "ab")]
    planned = make_plan("tiny", target, inspections(make, target), make.machine(), spacing="auto")
    assert planned.plan.preprocess.spacing_mm == (1.0, 1.0, 3.0)


def test_what_the_user_sets_is_not_overruled(plan):
    edits = ["network.patch_size=[32, 32, 64]", "preprocess.spacing_mm=[9, 9, 9]", "pretrain.threads=7"]
    planned = plan(spacing="auto", edits=edits)
    assert planned.plan.network.patch_size == (32, 32, 64)
    assert planned.plan.preprocess.spacing_mm == (9, 9, 9)
    assert planned.plan.pretrain.threads == 7
    assert decision(planned, "network.patch_size").rule == "--set"


def test_later_rules_use_what_the_user_set(plan):
    """Scans of 100 x 120 x 40 voxels of 1 x 1 x 3 mm are 10 x 12 x 12 voxels of 10 mm."""
    planned = plan("paper", edits=["preprocess.spacing_mm=[10, 10, 10]"])
    assert planned.plan.network.patch_size == (16, 32, 16)


def test_epochs_replace_iterations(plan):
    planned = plan(edits=["pretrain.epochs=3"])
    assert planned.plan.pretrain.iterations is None
    assert decision(planned, "pretrain.epochs").rule == "--set"
    assert not [item for item in planned.plan.decisions if item.field == "pretrain.iterations"]


def test_unknown_edits_are_refused(plan):
    with pytest.raises(PlanError, match="preprocess has no 'spacing'"):
        plan(edits=["preprocess.spacing=[1, 1, 1]"])


def test_cases_left_out_are_named_in_the_plan_and_not_in_the_split(plan):
    planned = plan(left_out={("T", "e"): "the image is empty"})
    target = planned.plan.dataset("T")
    assert target.cases == ("d", "f", "g", "h", "i")
    assert target.left_out == {"e": "the image is empty"}
    assert "e" not in [case for fold in planned.splits[0].folds for case in (*fold.training, *fold.held_out)]
    assert "T, case e is left out: the image is empty" in planned.plan.warnings


def test_an_unusable_case_that_is_not_left_out_is_an_error(make, datasets):
    found = inspections(make, datasets)
    found[0] = found[0].model_copy(update={"image": None, "problems": {"x": "gone"}})
    with pytest.raises(DataError, match="P, case a can't be used: x: gone"):
        make_plan("tiny", datasets, found, make.machine())
    assert (
        make_plan("tiny", datasets, found, make.machine(), left_out={("P", "a"): "gone"})
        .plan.datasets[0]
        .cases
    )


def warnings(planned):
    return "\n".join(planned.plan.warnings)


def test_a_sound_plan_on_a_gpu_has_no_warnings(plan):
    assert plan(edits=["experiment.fractions=[0.5, 1.0]"]).plan.warnings == ()


def test_without_a_gpu_the_full_network_names_the_tiny_preset(plan, make):
    large = {"size": (512, 512, 200)}
    text = warnings(plan("paper", make.machine(2), large))
    assert "no GPU was found: on these 2 cores pre-training would take some 7 h" in text
    assert "--preset tiny" in text
    assert "GPU" not in warnings(plan("tiny", make.machine(2), large))
    assert "GPU" not in warnings(plan("paper", make.machine(2, gpu=True), large))


def test_a_dataset_in_both_roles_is_warned_of(make):
    both = [make.dataset("B", "both", "abcde", role_given=False)]
    text = warnings(make_plan("tiny", both, inspections(make, both), make.machine()))
    assert "B: dataset.json gives no role; taken as 'both'" in text
    assert "its scores with pre-training are not to be trusted" in text


@pytest.mark.parametrize(
    ("role", "message"), [("pretrain", "no dataset to fine-tune"), ("target", "no dataset to pre-train")]
)
def test_a_missing_pool_or_target_is_warned_of(make, role, message):
    alone = [make.dataset("D", role, "abc")]
    assert message in warnings(make_plan("tiny", alone, inspections(make, alone), make.machine()))


def test_organs_absent_from_a_fold_or_a_fraction_are_warned_of(make):
    target = [make.dataset("T", "target", "abcdef")]
    found = inspections(make, target)
    found[0] = found[0].model_copy(update={"label_voxels": {0: 9, 1: 5, 2: 5}})
    found[1:] = [item.model_copy(update={"label_voxels": {0: 9, 1: 5}}) for item in found[1:]]
    planned = make_plan("tiny", target, found, make.machine(), edits=["experiment.fractions=[0.2, 1.0]"])
    (with_spleen,) = [i for i, fold in enumerate(planned.splits[0].folds) if "a" in fold.held_out]
    for index in range(5):
        told = f"T, fold {index}: no held-out case has spleen" in warnings(planned)
        assert told == (index != with_spleen)
    assert f"T, fold {with_spleen}, fraction 1: no training case has spleen" in warnings(planned)
    assert f"T, fold {with_spleen}, fraction 0.2" not in warnings(planned)


def test_fractions_that_give_the_same_cases_are_warned_of(plan):
    text = warnings(plan(edits=["experiment.fractions=[0.05, 0.1, 1.0]"]))
    assert "T: some fractions give the same number of training cases (0.05 is 1, 0.1 is 1, 1 is" in text


def test_a_target_with_shares_of_its_own_is_warned_of_those_alone(plan):
    edits = ["experiment.fractions=[0.05, 0.1]", 'experiment.target_fractions={"T":[0.5, 1.0]}']
    assert "some fractions give the same number" not in warnings(plan(edits=edits))


def test_shares_of_labels_of_an_unknown_target_are_refused(plan):
    with pytest.raises(PlanError, match=r"experiment\.target_fractions: U is no target of the plan"):
        plan(edits=['experiment.target_fractions={"U":[0.5]}'])


def test_a_target_of_one_patient_is_refused(make):
    target = [make.dataset("T", "target", "a")]
    with pytest.raises(PlanError, match="T: a target needs at least 2 patients"):
        make_plan("tiny", target, inspections(make, target), make.machine())


def test_every_decision_says_field_value_rule_and_reason(plan):
    planned = plan(spacing="auto", window="auto")
    for item in planned.plan.decisions:
        assert all((item.field, item.value, item.rule, item.reason)), item
    assert decision(planned, "preprocess.window_hu").value == "-99, 99"
    assert decision(planned, "splits.T.folds").value == "5"
    assert decision(planned, "datasets.P.role").reason == "3 cases with liver, spleen"
