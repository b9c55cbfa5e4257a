from pathlib import Path

import pytest

from mixcl_auto.io.inspection import inspect_datasets
from mixcl_auto.io.raw_dataset import dataset_folders, read_raw_dataset
from mixcl_auto.planning.plan import make_plan
from mixcl_auto.planning.roles import resolve_roles
from mixcl_auto.records.machine import Machine
from mixcl_auto.validation.validate import judge

RAW_DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "raw_data"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not RAW_DATA.is_dir(), reason="the real CT is not beside the project"),
]


@pytest.fixture(scope="module")
def datasets():
    return resolve_roles([read_raw_dataset(folder) for folder in dataset_folders(RAW_DATA)])


@pytest.fixture(scope="module")
def inspections(datasets):
    return inspect_datasets(datasets)


def test_real_ct_has_warnings_but_no_errors(datasets, inspections):
    findings = judge(datasets, inspections)
    assert [found for found in findings if found.severity == "error"] == []
    messages = " ".join(found.message for found in findings)
    assert "esophagus (5) is labelled in no case" in messages
    assert "mixed orientation" in messages


def test_the_pool_gives_its_own_spacing_and_folds(datasets, inspections):
    machine = Machine(cores=2, physical_cores=2, memory_gb=None)
    planned = make_plan("tiny", datasets, inspections, machine, spacing="auto")
    assert planned.plan.preprocess.spacing_mm == (3.91, 3.91, 2.5)
    assert planned.plan.network.patch_size == (32, 32, 32)
    assert {split.dataset: len(split.folds) for split in planned.splits} == {"Abdomen_TS": 2, "HN_Organs": 5}
    assert [len(fold.held_out) for fold in planned.splits[1].folds] == [9] * 5


def test_a_thin_slab_lowers_no_side_of_the_papers_patch_below_16(datasets, inspections):
    target = [dataset for dataset in datasets if dataset.name == "Abdomen_TS"]
    found = [case for case in inspections if case.dataset == "Abdomen_TS"]
    planned = make_plan("paper", target, found, Machine(cores=2, physical_cores=2, memory_gb=None))
    assert planned.plan.network.patch_size == (96, 96, 96)
    slab = [case for case in found if case.image.geometry.size[2] == 20]
    alone = make_plan(
        "paper",
        target,
        [*slab, slab[0].model_copy(update={"case": "again", "patient": "again"})],
        Machine(cores=2, physical_cores=2, memory_gb=None),
    )
    assert alone.plan.network.patch_size == (96, 96, 32)
