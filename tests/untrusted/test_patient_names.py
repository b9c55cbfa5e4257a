"""What DICOM headers say of a patient is in no file that the stages write, and in nothing that they say."""

import gzip
import json
import logging
import zipfile
from pathlib import Path

import blosc2
import numpy as np
import pydicom
import pytest
from dicom_series import write_series
from pydicom.dataset import Dataset

import mixcl_auto
from mixcl_auto.errors import DataError, RunError
from mixcl_auto.io.images import read_file
from mixcl_auto.io.raw_dataset import read_raw_dataset
from mixcl_auto.io.workspace import Workspace

MARKER, DAY, ANOTHER_DAY = "Zzyzxmarker", "19471103", "20190827"
"""A name and dates that nothing else would hold."""
EDITS = (
    "network.patch_size=[32,16,16]",
    "network.feature_size=4",
    "network.hidden_size=24",
    "network.mlp_size=48",
    "network.heads=2",
    "pretrain.iterations=2",
    "pretrain.batch_size=2",
    "pretrain.voxels_per_class=16",
    "pretrain.workers=0",
    "finetune.iterations=2",
    "finetune.workers=0",
    "experiment.fractions=[0.25]",
    "experiment.folds=[0]",
)
TEXT_TAGS = (
    "PatientName",
    "PatientID",
    "OtherPatientIDs",
    "PatientComments",
    "PatientAddress",
    "InstitutionName",
    "InstitutionAddress",
    "ReferringPhysicianName",
    "OperatorsName",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "StationName",
    "AccessionNumber",
    "StudyID",
    "ImageComments",
    "RequestedProcedureDescription",
    "DeviceSerialNumber",
)


def name_the_patient(_: int, header: Dataset) -> None:
    for keyword in TEXT_TAGS:
        setattr(header, keyword, MARKER)
    header.PatientBirthDate = DAY
    header.StudyDate = header.SeriesDate = header.AcquisitionDate = header.ContentDate = ANOTHER_DAY
    header.private_block(0x0019, "X", create=True).add_new(0x01, "LO", MARKER)


@pytest.fixture(scope="module")
def project(phantom_raw_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, str]:
    """A workspace in which every stage read series that name their patient, and all that was logged."""
    workspace = Workspace(tmp_path_factory.mktemp("named") / "workspace")
    for source in phantom_raw_data.iterdir():
        write_named_twin(source, workspace.raw_data / source.name)
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        said += run_all_stages(workspace)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return workspace, "\n".join(said)


def write_named_twin(source: Path, folder: Path) -> None:
    """A dataset of the same cases as series, all of one patient by their headers."""
    entries = []
    for case in read_raw_dataset(source).cases:
        scan = read_file(case.image)
        write_series(folder / "scans" / case.id, scan.values_ijk, scan.geometry, edit=name_the_patient)
        entries.append({"id": case.id, "image": f"scans/{case.id}", "label": str(case.label)})
    document = json.loads((source / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**document, "cases": entries}))


def run_all_stages(workspace: Workspace) -> list[str]:
    """Plan, train, predict, report and export on the CPU; returns the findings and messages."""
    said = [finding.message for finding in mixcl_auto.validate(workspace, jobs=1).findings]
    mixcl_auto.plan_and_preprocess(workspace, preset="tiny", spacing=(12.0, 12.0, 13.0), edits=EDITS, jobs=1)
    mixcl_auto.pretrain(workspace, device="cpu")
    mixcl_auto.finetune(workspace, fold=0, fraction=0.25, device="cpu")
    mixcl_auto.report(workspace)
    mixcl_auto.export("bundle", workspace.root / "bundle", workspace, fraction=0.25)
    scans = workspace.raw_data / "Target_Abdomen" / "scans"
    chosen = {"workspace": workspace, "fraction": 0.25, "device": "cpu"}
    one = sorted(scans.iterdir())[0]
    mixcl_auto.predict(
        one, workspace.root / "out", preview=True, statistics=True, probabilities=True, **chosen
    )
    mixcl_auto.predict(one, workspace.root / "seg", label_format="dicom-seg", **chosen)
    said += failed_prediction(workspace, one, chosen)
    return said


def failed_prediction(workspace: Workspace, scan: Path, chosen: dict[str, object]) -> list[str]:
    """What is said of a series with a gap, and of a folder of two patients."""
    said = []
    copies = workspace.raw_data / "copies"
    for name in ("gap", "two"):
        (copies / name).mkdir(parents=True)
        for file in sorted(scan.iterdir()):
            (copies / name / file.name).write_bytes(file.read_bytes())
    sorted((copies / "gap").iterdir())[3].unlink()
    other = read_file(scan)
    write_series(
        copies / "two" / "other", other.values_ijk, other.geometry, edit=name_the_patient, patient_id="o"
    )
    for file in (copies / "two" / "other").iterdir():
        header = pydicom.dcmread(file)
        header.PatientID = f"{MARKER}2"
        header.save_as(file)
    for name in ("gap", "two"):
        with pytest.raises((RunError, DataError)) as caught:
            mixcl_auto.predict(copies / name, workspace.root / f"out_{name}", **chosen)
        said.append(str(caught.value))
    return said


def contents(path: Path) -> bytes:
    """A file's bytes, and what is compressed in them."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        data += gzip.decompress(data)
    if path.suffix == ".b2nd":
        array = blosc2.open(str(path), mode="r")
        data += np.asarray(array[:]).tobytes() + repr(list(array.schunk.vlmeta.getall().items())).encode()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            data += b"".join(name.encode() + archive.read(name) for name in archive.namelist())
    return data


def written_files(workspace: Workspace) -> list[Path]:
    return sorted(
        path
        for path in workspace.root.rglob("*")
        if path.is_file() and not path.is_relative_to(workspace.raw_data)
    )


def test_no_file_holds_what_the_headers_say_of_the_patient(project):
    workspace, _ = project
    files = [path for path in written_files(workspace) if path.suffix != ".dcm"]
    kinds = {path.suffix for path in files}
    assert {".json", ".csv", ".pt", ".safetensors", ".b2nd", ".npz", ".gz", ".png", ".html", ".md"} <= kinds
    for path in files:
        found = contents(path)
        for secret in (MARKER, MARKER.lower(), DAY, ANOTHER_DAY):
            assert secret.encode() not in found, f"{path} holds {secret}"
            assert secret not in str(path)


def test_nothing_that_is_said_names_the_patient(project):
    _, said = project
    assert "one PatientID" in said or "PatientID" in said
    assert "slice is missing" in said
    assert "2 patients" in said
    for secret in (MARKER, DAY, ANOTHER_DAY):
        assert secret not in said


def test_a_dicom_segmentation_repeats_the_patient_as_the_standard_wants(project):
    workspace, _ = project
    (path,) = (workspace.root / "seg").glob("*.dcm")
    header = pydicom.dcmread(path)
    assert (str(header.PatientName), header.PatientID) == (MARKER, MARKER)
    assert header.PatientBirthDate == DAY
    repeated = {
        element.keyword for element in header.iterall() if element.VR != "SQ" and MARKER in str(element.value)
    }
    assert repeated == {
        "PatientName",
        "PatientID",
        "ReferringPhysicianName",
        "AccessionNumber",
        "StudyID",
    }
