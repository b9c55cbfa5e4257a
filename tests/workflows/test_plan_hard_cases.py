"""Data and machines at the limits: nothing labelled, few patients, files that change, no disk, no memory."""

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import SimpleITK

import mixcl_auto
from mixcl_auto.errors import DataError, PlanError, RunError
from mixcl_auto.io.inspection import inspect_datasets
from mixcl_auto.io.plans import read_plan
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.finding import Finding
from mixcl_auto.records.machine import Machine
from mixcl_auto.workflows import plan_and_preprocess as workflow
from mixcl_auto.workflows import readiness
from mixcl_auto.workflows.plan_and_preprocess import Preparation, plan_and_preprocess

sitk = SimpleITK
SPACING_MM = (12.0, 12.0, 13.0)


def prepare(workspace: Workspace, edits: Sequence[str] = (), **wishes: Any) -> Preparation:
    return plan_and_preprocess(
        workspace, edits=edits, **({"preset": "tiny", "spacing": SPACING_MM, "jobs": 1} | wishes)
    )


def label_files(workspace: Workspace, dataset: str) -> list[Path]:
    return sorted((workspace.raw_data / dataset / "labelsTr").iterdir())


def unlabel(path: Path) -> None:
    """Empty a label map."""
    labels = sitk.ReadImage(str(path))
    sitk.WriteImage(labels * 0, str(path))


def keep_cases(workspace: Workspace, dataset: str, count: int) -> None:
    for path in label_files(workspace, dataset)[count:]:
        path.unlink()
        image = path.name.replace(".nii.gz", "_0000.nii.gz")
        (workspace.raw_data / dataset / "imagesTr" / image).unlink()


def train_a_little(workspace: Workspace) -> None:
    mixcl_auto.pretrain(workspace, device="cpu")
    mixcl_auto.finetune(workspace, fold=0, fraction=1.0, device="cpu")


SHORT = ("pretrain.iterations=2", "finetune.iterations=2")


def test_cases_without_foreground_are_warned_of_and_do_not_stop_any_stage(
    copied_phantoms: Workspace, tiny_edits: tuple[str, ...]
) -> None:
    unlabel(label_files(copied_phantoms, "Pool_Liver")[0])
    for path in label_files(copied_phantoms, "Target_Abdomen")[:2]:
        unlabel(path)
    done = prepare(copied_phantoms, (*tiny_edits, *SHORT))
    assert done.failures == ()
    text = "\n".join(done.plan.warnings)
    assert "Pool_Liver, case pool_liver_000: nothing is labelled" in text
    assert "Target_Abdomen, case target_abdomen_000: nothing is labelled" in text
    assert "(and 1 more of this kind)" in text
    train_a_little(copied_phantoms)


def test_a_pool_without_any_label_trains_without_the_label_loss(
    copied_phantoms: Workspace, tiny_edits: tuple[str, ...]
) -> None:
    for dataset in ("Pool_Liver", "Pool_Kidneys"):
        keep_cases(copied_phantoms, dataset, 1)
        unlabel(label_files(copied_phantoms, dataset)[0])
    done = prepare(copied_phantoms, (*tiny_edits, *SHORT))
    assert "Pool_Liver: no case has a labelled voxel" in "\n".join(done.plan.warnings)
    mixcl_auto.pretrain(copied_phantoms, device="cpu")
    assert copied_phantoms.pretrain("plan", "mixcl").encoder.is_file()


def test_a_target_without_any_label_is_refused(copied_phantoms: Workspace) -> None:
    for path in label_files(copied_phantoms, "Target_Abdomen"):
        unlabel(path)
    with pytest.raises(
        PlanError, match=r"Target_Abdomen: no case of this target .*--pretrain Target_Abdomen"
    ):
        prepare(copied_phantoms)


def test_a_target_of_two_patients_and_pools_of_one_case_go_through(
    copied_phantoms: Workspace, tiny_edits: tuple[str, ...]
) -> None:
    keep_cases(copied_phantoms, "Pool_Liver", 1)
    keep_cases(copied_phantoms, "Pool_Kidneys", 1)
    keep_cases(copied_phantoms, "Target_Abdomen", 2)
    edits = [edit for edit in tiny_edits if "folds" not in edit]
    done = prepare(copied_phantoms, (*edits, *SHORT))
    assert done.plan.experiment.folds == (0, 1)
    train_a_little(copied_phantoms)


def test_a_target_of_one_patient_is_refused(copied_phantoms: Workspace) -> None:
    folder = copied_phantoms.raw_data / "Target_Abdomen"
    document = json.loads((folder / "dataset.json").read_text())
    document["cases"] = [
        {
            "id": path.name.removesuffix(".nii.gz"),
            "image": f"imagesTr/{path.name.replace('.nii', '_0000.nii')}",
            "label": f"labelsTr/{path.name}",
            "patient": "the same",
        }
        for path in label_files(copied_phantoms, "Target_Abdomen")
    ]
    (folder / "dataset.json").write_text(json.dumps(document))
    with pytest.raises(
        PlanError, match=r"Target_Abdomen: a target needs at least 2 patients .* it has 1: add"
    ):
        prepare(copied_phantoms)


def test_organs_that_the_grid_swallows_are_named(phantom_workspace: Workspace) -> None:
    done = prepare(phantom_workspace, spacing=(60, 60, 60), plan_only=True)
    (warning,) = [text for text in done.plan.warnings if "few voxels are left" in text and "Target" in text]
    assert "at 60 x 60 x 60 mm of spleen (some " in warning
    assert "aorta (some " in warning


def test_the_stages_run_after_invalid_cases_were_left_out(
    copied_phantoms: Workspace, tiny_edits: tuple[str, ...]
) -> None:
    left_out = []
    for dataset in ("Pool_Liver", "Target_Abdomen"):
        path = label_files(copied_phantoms, dataset)[0]
        path.write_bytes(path.read_bytes()[:100])
        left_out.append(path.name.removesuffix(".nii.gz"))
    done = prepare(copied_phantoms, (*tiny_edits, *SHORT), skip_invalid=True)
    assert [case for dataset in done.plan.datasets for case in dataset.left_out] == left_out
    for case in left_out:
        assert any(f"case {case} is left out: " in warning for warning in done.plan.warnings)
    train_a_little(copied_phantoms)


def truncate_after_planning(workspace: Workspace, dataset: str, **wishes: Any) -> tuple[Preparation, str]:
    """Plan, damaging a case once the plan is there; what was done, and the case."""
    path = label_files(workspace, dataset)[0]

    def damage(plan: object) -> None:
        path.write_bytes(path.read_bytes()[:200])

    return prepare(workspace, on_plan=damage, **wishes), path.name.removesuffix(".nii.gz")


@pytest.mark.parametrize(("dataset", "command"), [("Pool_Liver", "pretrain"), ("Target_Abdomen", "finetune")])
def test_trainers_name_the_case_that_failed_and_what_to_do(
    copied_phantoms: Workspace, tiny_edits: tuple[str, ...], dataset: str, command: str
) -> None:
    done, case = truncate_after_planning(copied_phantoms, dataset, edits=(*tiny_edits, *SHORT))
    assert [(found.dataset, found.case) for found in done.failures] == [(dataset, case)]
    calls: list[Callable[[], object]] = [lambda: mixcl_auto.pretrain(copied_phantoms, device="cpu")]
    if command == "finetune":
        calls = [partial(mixcl_auto.finetune, copied_phantoms, fold=fold, init="scratch") for fold in (0, 1)]
    for call in calls:
        with pytest.raises(
            RunError, match=rf"{dataset}: 1 of \d cases .*{case}.*; run `mixcl_auto plan_and_p"
        ):
            call()


def fake_disk(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(readiness.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))


def test_too_small_a_disk_stops_before_the_cache_but_after_the_plan(
    phantom_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_disk(monkeypatch, 1000)
    told: list[Finding] = []
    with pytest.raises(
        DataError, match=r"nothing was preprocessed; the plan is .*plan\.json\nthe cache at 12 x"
    ):
        prepare(phantom_workspace, on_findings=told.extend)
    assert not phantom_workspace.preprocessed.exists()
    assert read_plan(phantom_workspace.plan("plan")).datasets
    assert [found.check for found in told if found.severity == "error"] == ["disk_suffices"]
    assert "disk_suffices" in phantom_workspace.validation.read_text()
    done = prepare(phantom_workspace, plan_only=True)
    assert "disk_suffices" in [found.check for found in done.findings]


def test_what_is_cached_needs_no_more_disk(
    fresh_planned_workspace: Workspace, tiny_edits: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_disk(monkeypatch, 1000)
    assert prepare(fresh_planned_workspace, tiny_edits).failures == ()
    shutil.rmtree(next(fresh_planned_workspace.preprocessed.glob("Pool_Liver/*/*")))
    with pytest.raises(DataError, match=r"cases to preprocess: 1\b"):
        prepare(fresh_planned_workspace, tiny_edits)


def test_as_many_cases_at_once_as_the_memory_holds(
    phantom_workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A process takes 0.3 GB: 0.8 of 0.9 GB hold two."""
    machine = Machine(cores=3, physical_cores=3, memory_gb=0.9)
    monkeypatch.setattr(workflow, "describe_machine", lambda: machine)
    monkeypatch.setattr(readiness, "available_cores", lambda: 3)
    monkeypatch.setattr(workflow, "inspect_datasets", lambda datasets, **options: inspect_datasets(datasets))
    with caplog.at_level(logging.INFO, "mixcl_auto"):
        done = prepare(phantom_workspace, jobs=None, plan_only=True, memory_gb=24.0)
    assert "preprocessing 2 at once: the memory holds no more" in caplog.text
    assert not [found for found in done.findings if found.check == "memory_suffices"]
    done = prepare(phantom_workspace, jobs=4, plan_only=True, memory_gb=24.0)
    assert [found.severity for found in done.findings if found.check == "memory_suffices"] == ["warning"]
