"""A cache that is not the plan's is never trained on, and the message says what differs."""

import re
from pathlib import Path

import numpy as np
import pytest
from cached_phantoms import POOL, TARGET, edited, make_workspace, put_fingerprint, write_volume

from mixcl_auto.errors import DataError, PlanError, RunError
from mixcl_auto.io.cache_recipe import write_recipe
from mixcl_auto.io.case_cache import open_case
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.pretraining.pretrain import pretrain
from mixcl_auto.records.plan import Plan
from mixcl_auto.records.record import content_hash
from mixcl_auto.training.cases import open_cases

POOL_CASES = ("liver_0", "liver_1", "liver_2")


@pytest.fixture
def cached(tmp_path: Path) -> tuple[Workspace, Plan]:
    return make_workspace(tmp_path)


def folder_of(workspace: Workspace, plan: Plan, case: str, dataset: str = "Liver") -> Path:
    return workspace.cached_case(dataset, content_hash(plan.preprocess), case)


def replace_case(workspace: Workspace, plan: Plan, case: str) -> None:
    """As another plan of other raw files would."""
    folder = folder_of(workspace, plan, case)
    shape = open_case(folder).shape
    record = write_volume(folder, case, np.zeros(shape, np.int16), np.zeros(shape, np.uint8))
    path = folder / "case.json"
    path.write_text(path.read_text().replace(record.key, "0" * 24))


def with_dataset(plan: Plan, name: str, **changes: object) -> Plan:
    datasets = [
        dataset.model_copy(update=changes) if dataset.name == name else dataset for dataset in plan.datasets
    ]
    return plan.model_copy(update={"datasets": tuple(datasets)})


def test_a_case_that_another_plan_made_of_other_files_is_refused_by_name(
    cached: tuple[Workspace, Plan],
) -> None:
    workspace, plan = cached
    replace_case(workspace, plan, "liver_1")
    expected = (
        r"Liver: 1 of 3 cached cases were not made of the files that the plan was made from \(liver_1\)"
    )
    with pytest.raises(RunError, match=expected) as caught:
        pretrain(workspace, plan, "plan", device="cpu")
    assert "run `mixcl_auto plan_and_preprocess` again under this plan's name" in str(caught.value)
    assert not workspace.pretrain("plan", "mixcl").run.exists()


def test_a_case_that_is_replaced_during_a_training_is_refused_when_it_is_opened(
    cached: tuple[Workspace, Plan],
) -> None:
    workspace, plan = cached
    readers = open_cases(workspace, plan, "Liver", POOL_CASES)
    before = readers[0].image((0, 0, 0), readers[0].shape)
    for case in POOL_CASES:
        replace_case(workspace, plan, case)
    np.testing.assert_array_equal(readers[0].image((0, 0, 0), readers[0].shape), before)
    for read in (readers[0].labels, readers[1].image):
        with pytest.raises(DataError, match=r"liver_\d: the cached case was replaced meanwhile"):
            read((0, 0, 0), (1, 1, 1))
    with pytest.raises(DataError, match="liver_2: the cached case was replaced meanwhile"):
        readers[2].foreground  # noqa: B018


def test_edited_preprocessing_is_told_field_by_field(cached: tuple[Workspace, Plan]) -> None:
    workspace, plan = cached
    now = edited(plan, "preprocess", spacing_mm=(1.0, 1.0, 1.0), coordinates_per_class=5)
    with pytest.raises(RunError, match="3 of 3 cases are not in the cache") as caught:
        open_cases(workspace, now, "Liver", POOL_CASES)
    assert "other caches" not in str(caught.value)
    write_recipe(workspace, "Liver", plan.preprocess)
    with pytest.raises(RunError, match="3 of 3 cases are not in the cache") as caught:
        open_cases(workspace, now, "Liver", POOL_CASES)
    lines = str(caught.value).splitlines()
    assert lines[1] == "other caches (their value, then this plan's):"
    assert lines[2] == f"  {workspace.cache('Liver', content_hash(plan.preprocess))}:"
    assert [line.strip() for line in lines[3:]] == [
        "preprocess.spacing_mm: [1.5, 1.5, 2.0] and [1.0, 1.0, 1.0]",
        f"preprocess.coordinates_per_class: {plan.preprocess.coordinates_per_class} and 5",
    ]


def test_a_malformed_recipe_is_passed_over_and_written_anew(cached: tuple[Workspace, Plan]) -> None:
    workspace, plan = cached
    path = workspace.cache("Liver", content_hash(plan.preprocess)) / "preprocess.json"
    path.write_text('{"spacing')
    now = edited(plan, "preprocess", spacing_mm=(1.0, 1.0, 1.0))
    with pytest.raises(RunError, match="3 of 3 cases are not in the cache"):
        open_cases(workspace, now, "Liver", POOL_CASES)
    write_recipe(workspace, "Liver", plan.preprocess)
    assert path.read_text() == plan.preprocess.to_json()


def test_cases_that_were_added_to_the_plan_by_hand_are_refused(cached: tuple[Workspace, Plan]) -> None:
    workspace, plan = cached
    image = np.zeros((40, 44, 28), np.int16)
    write_volume(folder_of(workspace, plan, "stranger"), "stranger", image, np.zeros(image.shape, np.uint8))
    now = with_dataset(plan, "Liver", cases=(*POOL_CASES, "stranger"))
    with pytest.raises(RunError, match="Liver: not among the cases that the plan was made from: stranger"):
        pretrain(workspace, now, "plan", device="cpu")


def test_labels_that_were_taken_out_of_the_plan_by_hand_are_refused(cached: tuple[Workspace, Plan]) -> None:
    from mixcl_auto.finetuning.finetune import finetune

    workspace, plan = cached
    now = with_dataset(plan, TARGET, labels={"spleen": 1})
    with pytest.raises(RunError, match=r"label [23] is in the cache, the plan has labels up to 1"):
        finetune(workspace, now, "plan", dataset=TARGET, fold=0, fraction=1.0, init="scratch", device="cpu")


def test_a_fingerprint_that_is_another_or_gone_is_named(cached: tuple[Workspace, Plan]) -> None:
    workspace, plan = cached
    now = with_dataset(plan, "Liver", fingerprint="0123456789ab")
    with pytest.raises(
        PlanError, match=r"fingerprints/Liver\.json: the file changed after the plan was made"
    ):
        open_cases(workspace, now, "Liver", POOL_CASES)
    put_fingerprint(workspace, "Liver", ("liver_0",))  # of a later plan: the earlier one is kept beside it
    assert len(open_cases(workspace, plan, "Liver", POOL_CASES)) == len(POOL_CASES) == POOL["Liver"][1]
    for path in (workspace.plans / "fingerprints").glob("Liver*"):
        path.unlink()
    expected = r"Liver\.json: no such file of the plan; run `mixcl_auto plan_and_preprocess` again"
    with pytest.raises(DataError, match=expected):
        open_cases(workspace, plan, "Liver", POOL_CASES)


@pytest.mark.parametrize(
    "name", ["image.b2nd", "labels.b2nd", "distance.b2nd", "foreground.npz", "case.json"]
)
def test_a_cached_file_that_vanished_is_noticed_before_training(
    cached: tuple[Workspace, Plan], name: str
) -> None:
    workspace, plan = cached
    (folder_of(workspace, plan, "liver_1") / name).unlink()
    with pytest.raises((DataError, RunError), match="liver_1") as caught:
        open_cases(workspace, plan, "Liver", POOL_CASES)
    assert "run `mixcl_auto plan_and_preprocess` again" in str(caught.value)


def test_a_cached_file_that_was_cut_short_ends_no_process_by_a_signal(cached: tuple[Workspace, Plan]) -> None:
    workspace, plan = cached
    paths = [folder_of(workspace, plan, case) / "image.b2nd" for case in POOL_CASES]
    readers = open_cases(workspace, plan, "Liver", POOL_CASES)
    for path in paths:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    expected = re.escape(
        f"{paths[0]}: damaged cache file (it is cut short); remove {paths[0].parent} and run"
    )
    with pytest.raises(DataError, match=expected):
        readers[0].image((0, 0, 0), readers[0].shape)
    with pytest.raises(DataError, match=expected):
        pretrain(workspace, plan, "plan", device="cpu")
