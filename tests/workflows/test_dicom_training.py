"""Training data as DICOM series: nothing differs from the same scans as NIfTI."""

import json
from pathlib import Path

import numpy as np
import pytest
from dicom_series import write_series

from mixcl_auto.io.case_cache import open_case
from mixcl_auto.io.images import read_file
from mixcl_auto.io.plans import read_fingerprint, read_plan
from mixcl_auto.io.raw_dataset import read_raw_dataset
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.record import content_hash
from mixcl_auto.workflows.plan_and_preprocess import plan_and_preprocess
from mixcl_auto.workflows.validate import validate


def write_twin(source: Path, folder: Path) -> None:
    """A dataset of the same cases whose scans are DICOM series, each in PATIENT/STUDY/SERIES."""
    entries = []
    for case in read_raw_dataset(source).cases:
        scan = read_file(case.image)
        write_series(folder / "scans" / case.id / "study" / "series", scan.values_ijk, scan.geometry)
        entries.append({"id": case.id, "image": f"scans/{case.id}", "label": str(case.label)})
    document = json.loads((source / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**document, "cases": entries}))


@pytest.fixture
def twin(phantom_raw_data: Path, tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "twin")
    for source in phantom_raw_data.iterdir():
        write_twin(source, workspace.raw_data / source.name)
    return workspace


def test_plan_and_cache_are_those_of_the_same_scans_as_nifti(
    twin: Workspace, planned_workspace: Workspace, tiny_edits: tuple[str, ...]
) -> None:
    plan_and_preprocess(twin, preset="tiny", spacing=(12.0, 12.0, 13.0), edits=tiny_edits, jobs=1)
    ours, theirs = read_plan(twin.plan("plan")), read_plan(planned_workspace.plan("plan"))
    for dataset in theirs.datasets:
        found = ours.dataset(dataset.name)
        assert (found.cases, found.labels) == (dataset.cases, dataset.labels)
        pairs = zip(
            read_fingerprint(twin, found).cases,
            read_fingerprint(planned_workspace, dataset).cases,
            strict=True,
        )
        for series, nifti in pairs:
            assert series.image_hash != nifti.image_hash
            assert series.label_hash == nifti.label_hash
            different = {"image_hash", "orientation"}
            assert series.model_dump(exclude=different) == nifti.model_dump(exclude=different)
        for case in dataset.cases:
            folders = (
                space.cached_case(dataset.name, content_hash(plan.preprocess), case)
                for space, plan in ((twin, ours), (planned_workspace, theirs))
            )
            series, nifti = (open_case(folder) for folder in folders)
            whole = ((0, 0, 0), series.shape)
            np.testing.assert_array_equal(series.image(*whole), nifti.image(*whole))
            np.testing.assert_array_equal(series.labels(*whole), nifti.labels(*whole))


def test_a_missing_slice_and_a_choice_are_findings(twin: Workspace) -> None:
    scans = twin.raw_data / "Pool_Liver" / "scans"
    first, second = sorted(scans.iterdir())
    slices = sorted(first.rglob("*.dcm"))
    slices[len(slices) // 2].unlink()
    scan = read_file(second)
    write_series(
        second / "study" / "short",
        scan.values_ijk[:, :, :4],
        scan.geometry.model_copy(update={"size": (*scan.geometry.size[:2], 4)}),
        number=7,
    )
    findings = validate(twin, datasets=["Pool_Liver"]).findings
    said = {(found.severity, found.case): found.message for found in findings}
    assert "1 slice is missing" in said["error", first.name]
    assert "was taken of 2 (the largest axial one)" in said["warning", second.name]
