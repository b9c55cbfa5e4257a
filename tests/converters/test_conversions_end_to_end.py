"""Every imitation dataset, converted, planned and preprocessed: labels lie where the phantoms' organs are."""

from pathlib import Path

import numpy as np
import pytest
from download_imitations import (
    SPACING_MM,
    organs,
    write_btcv,
    write_kits19,
    write_liver,
    write_msd,
    write_nih,
    write_spleen,
)

from mixcl_auto.io.case_cache import open_case
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.record import content_hash
from mixcl_auto.workflows.convert import convert
from mixcl_auto.workflows.plan_and_preprocess import Preparation, plan_and_preprocess

DECATHLON = ("Task03_Liver", "Task06_Lung", "Task07_Pancreas", "Task09_Spleen")
DATASETS = (*DECATHLON, "KiTS19", "NIH_Pancreas", "BTCV")


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict]]:
    """All seven, and their cases' label maps in RAS."""
    folder = tmp_path_factory.mktemp("downloads")
    return folder, {
        "Task09_Spleen": write_spleen(folder / "Task09_Spleen"),
        "Task03_Liver": write_liver(folder / "Task03_Liver"),
        "Task06_Lung": write_msd(
            folder / "Task06_Lung", "lung", {"1": "cancer"}, lambda labels: organs(labels, stomach=1)
        ),
        "Task07_Pancreas": write_msd(
            folder / "Task07_Pancreas",
            "pancreas",
            {"1": "pancreas", "2": "cancer"},
            lambda labels: organs(labels, pancreas=1, gallbladder=2),
        ),
        "KiTS19": write_kits19(folder / "kits19"),
        "NIH_Pancreas": write_nih(folder / "nih", flips="jk"),
        "BTCV": write_btcv(folder / "Abdomen" / "RawData"),
    }


@pytest.fixture(scope="module")
def prepared(
    downloads: tuple[Path, dict[str, dict]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Workspace, Preparation]:
    folder, _ = downloads
    workspace = Workspace(tmp_path_factory.mktemp("converted"))
    for task in DECATHLON:
        convert("msd", folder / task, workspace)
    convert("kits19", folder / "kits19", workspace)
    convert("nih_pancreas", folder / "nih", workspace, jobs=1)
    convert("btcv", folder / "Abdomen", workspace)
    return workspace, plan_and_preprocess(workspace, preset="tiny", spacing=SPACING_MM, jobs=1)


def test_roles_and_labels_reach_the_plan(prepared):
    plan = prepared[1].plan
    assert {dataset.name: dataset.role for dataset in plan.datasets} == {
        "Task09_Spleen": "target",
        "Task03_Liver": "pretrain",
        "Task06_Lung": "pretrain",
        "Task07_Pancreas": "pretrain",
        "KiTS19": "pretrain",
        "NIH_Pancreas": "pretrain",
        "BTCV": "target",
    }
    assert plan.dataset("Task03_Liver").labels == {"liver": 1, "cancer": 2}
    assert prepared[1].failures == ()
    assert [found for found in prepared[1].findings if found.severity == "error"] == []


@pytest.mark.parametrize("name", DATASETS)
def test_cached_labels_are_the_phantoms_organs_in_ras(downloads, prepared, name):
    workspace, preparation = prepared
    expected = downloads[1][name]
    assert sorted(preparation.plan.dataset(name).cases) == sorted(expected)
    for case, labels in expected.items():
        folder = workspace.cached_case(name, content_hash(preparation.plan.preprocess), case)
        cached = open_case(folder)
        assert cached.shape == labels.shape
        np.testing.assert_array_equal(cached.labels((0, 0, 0), cached.shape), labels)


def test_a_scan_of_odd_size_keeps_it(prepared):
    workspace, preparation = prepared
    preprocess = content_hash(preparation.plan.preprocess)
    shapes = {
        case: open_case(workspace.cached_case("KiTS19", preprocess, case)).shape
        for case in preparation.plan.dataset("KiTS19").cases
    }
    assert shapes["case_00160"] == (46, 40, 28)
    assert shapes["case_00000"] == (46, 34, 28)


def test_an_organ_that_a_case_lacks_is_no_error(prepared):
    workspace, preparation = prepared
    folder = workspace.cached_case("BTCV", content_hash(preparation.plan.preprocess), "img0001")
    assert 4 not in open_case(folder).record.label_voxels
