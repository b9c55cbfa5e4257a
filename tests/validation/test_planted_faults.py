import shutil

import pytest
from faults_page import documented, find, resource_rows, rows_of
from large_scans import MACHINES
from planted_faults import FAULTS
from sound_raw_data import SPACING_MM, RawData, write_sound_raw_data

from mixcl_auto.io.case_cache import open_case
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.record import content_hash
from mixcl_auto.workflows.plan_and_preprocess import plan_and_preprocess
from mixcl_auto.workflows.validate import validate

PLANTS = {fault: plant for faults in FAULTS.values() for fault, plant in faults.items()}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    workspace = tmp_path_factory.mktemp("sound")
    write_sound_raw_data(workspace / "raw_data")
    return workspace


def test_sound_data_have_no_findings(sound):
    assert find(sound) == ()


@pytest.mark.parametrize("fault", PLANTS)
def test_a_planted_fault_is_found_as_documented_and_nothing_else(fault, sound, tmp_path):
    assert rows_of(fault, PLANTS[fault], sound, tmp_path / "workspace") == documented()[fault]


@pytest.mark.parametrize("fault", MACHINES)
def test_a_machine_too_small_is_found_as_documented(fault):
    assert resource_rows(fault) == documented()[fault]


def test_every_documented_fault_is_planted():
    assert list(documented()) == [*PLANTS, *MACHINES]


def test_faults_of_all_cases_and_datasets_are_found_in_one_go_whatever_the_jobs(sound, tmp_path):
    workspace = tmp_path / "workspace"
    shutil.copytree(sound, workspace)
    raw_data = RawData(workspace / "raw_data")
    for plant in ("zero-byte file", "empty label map", "dataset's name with a backslash"):
        PLANTS[plant](raw_data)
    raw_data.image("b", "Target").unlink()
    (raw_data.folder / "Po\\ol").rename(raw_data.folder / "Pool")
    raw_data.put(raw_data.label("c", "Target"), 80, "<f", 0.0)
    findings = validate(workspace, jobs=2).findings
    assert sorted((found.dataset, found.case, found.check) for found in findings) == [
        ("Pool", "a", "files_are_readable"),
        ("Pool", "a", "something_is_labelled"),
        ("Target", "b", "files_are_readable"),
        ("Target", "c", "files_are_readable"),
    ]
    assert findings == validate(workspace, jobs=1).findings


def test_findings_of_one_dataset_are_not_hidden_by_another_that_can_not_be_read(sound, tmp_path):
    workspace = tmp_path / "workspace"
    shutil.copytree(sound, workspace)
    raw_data = RawData(workspace / "raw_data")
    raw_data.document("Pool").write_text("{")
    raw_data.image("b", "Target").unlink()
    found = {(item.dataset, item.case): item.message for item in validate(workspace, jobs=1).findings}
    assert "not JSON" in found["Pool", None]
    assert "no such file" in found["Target", "b"]
    (alone,) = validate(workspace, datasets=["Pool"], jobs=1).findings
    assert (alone.severity, alone.dataset, alone.check) == ("error", "Pool", "description_is_usable")


def test_names_in_any_script_and_with_spaces_pass_and_can_be_preprocessed(sound, tmp_path, tiny_edits):
    workspace = Workspace(tmp_path / "Arbeits platz äöü")
    shutil.copytree(sound, workspace.root)
    raw_data = RawData(workspace.raw_data)
    for dataset in ("Pool", "Target"):
        raw_data.image("b", dataset).rename(raw_data.image("Größe 肝 b", dataset))
        raw_data.label("b", dataset).rename(raw_data.label("Größe 肝 b", dataset))
    (raw_data.folder / "Pool").rename(raw_data.folder / "Bauch CT ü")
    checked = validate(workspace, jobs=1)
    assert (checked.findings, checked.datasets) == ((), ("Bauch CT ü", "Target"))
    done = plan_and_preprocess(workspace, preset="tiny", spacing=SPACING_MM, edits=tiny_edits, jobs=1)
    assert done.failures == ()
    folder = workspace.cached_case("Bauch CT ü", content_hash(done.plan.preprocess), "Größe 肝 b")
    assert open_case(folder).record.id == "Größe 肝 b"
