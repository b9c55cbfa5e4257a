"""``predict`` on DICOM series, and what it says to wrong uses."""

import shutil
import sys
from pathlib import Path

import highdicom
import numpy as np
import pytest
from click.testing import CliRunner, Result
from dicom_series import write_series

from mixcl_auto.cli.main import cli
from mixcl_auto.io.images import read_image, read_labels
from mixcl_auto.io.orientation import from_ras
from mixcl_auto.io.workspace import Workspace

MODEL = ("--fraction", "0.25", "--init", "scratch", "--device", "cpu")
SHARED = {"study_uid": "1.2.3", "patient_id": "Secret"}


@pytest.fixture(scope="module")
def trained(planned_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a model of three organs; two steps don't make it a good one."""
    root = tmp_path_factory.mktemp("predict") / "workspace"
    shutil.copytree(planned_workspace.root, root, symlinks=True)
    done = call(Workspace(root), "finetune", *MODEL, "--set", "finetune.iterations=2")
    assert done.exit_code == 0, done.output
    return Workspace(root)


@pytest.fixture
def patient(trained: Workspace, tmp_path: Path) -> Path:
    """A patient's folder with one study: a scan as series 2, and its first slices as series 1."""
    image = sorted((trained.raw_data / "Target_Abdomen" / "imagesTr").iterdir())[0]
    volume = read_image(image)
    values = from_ras(volume.array, volume.geometry).transpose(2, 1, 0)
    short = volume.geometry.model_copy(update={"size": (*volume.geometry.size[:2], 3)})
    folder = tmp_path / "patient"
    write_series(folder / "scout", values[:, :, :3], short, number=1, **SHARED)
    write_series(folder / "scan", values, volume.geometry, number=2, **SHARED)
    return folder


def call(workspace: Workspace, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["-w", str(workspace.root), *arguments])


def predict(workspace: Workspace, source: Path, output: Path, *options: str) -> Result:
    return call(workspace, "predict", "-i", str(source), "-o", str(output), *MODEL, *options)


def test_a_series_is_segmented_and_the_choice_said_without_the_patients_name(
    trained: Workspace, patient: Path, tmp_path: Path
) -> None:
    result = predict(trained, patient, tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "1 scan (patient), DICOM" in result.stderr
    assert "series 2 (CT, " in result.stderr
    assert "was taken of 2" in result.stderr
    assert "Secret" not in result.output
    assert f"1 label map in {tmp_path / 'out'}" in result.stdout
    assert read_labels(tmp_path / "out" / "patient.nii.gz").geometry.size[2] > 3


def test_the_series_asked_for_is_segmented(trained: Workspace, patient: Path, tmp_path: Path) -> None:
    result = predict(trained, patient, tmp_path / "out", "--series", "1")
    assert result.exit_code == 0, result.output
    assert "was taken" not in result.stderr
    assert read_labels(tmp_path / "out" / "patient.nii.gz").geometry.size[2] == 3


def test_a_dicom_segmentation_holds_every_organ_of_the_plan(
    trained: Workspace, patient: Path, tmp_path: Path
) -> None:
    for options in ((), ("--format", "dicom-seg")):
        result = predict(trained, patient, tmp_path / "out", *options)
        assert result.exit_code == 0, result.output
        assert f"1 label map in {tmp_path / 'out'}" in result.stdout
        assert "Secret" not in result.output
    segmentation = highdicom.seg.segread(tmp_path / "out" / "patient.dcm")
    segments = [(item.SegmentNumber, item.SegmentLabel) for item in segmentation.SegmentSequence]
    assert segments == [(1, "spleen"), (2, "liver"), (3, "aorta")]
    labels = read_labels(tmp_path / "out" / "patient.nii.gz").array
    volume = segmentation.get_volume(combine_segments=True).array
    assert np.array_equal(*(np.bincount(array.ravel(), minlength=4)[1:] for array in (labels, volume)))


@pytest.mark.parametrize("options", [(), ("--format", "dicom-seg")])
def test_a_series_that_is_not_there_is_an_error_that_lists_what_is(
    trained: Workspace, patient: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    result = predict(trained, patient, tmp_path / "out", "--series", "9", *options)
    assert result.exit_code == 1
    assert "no series 9" in result.stderr
    assert "series 2 (CT, " in result.stderr


def test_wrong_uses_are_refused_with_advice(
    trained: Workspace, patient: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    images = trained.raw_data / "Target_Abdomen" / "imagesTr"
    result = predict(trained, images, output, "--format", "dicom-seg")
    assert result.exit_code == 1
    assert "not a DICOM series" in result.stderr
    result = predict(trained, images, output, "--series", "1")
    assert result.exit_code == 1
    assert "--series 1 chooses within one scan, but here are 5 scans" in result.stderr
    result = predict(trained, patient, output, "--format", "dicom")
    assert result.exit_code == 2
    assert "'dicom' is not one of 'nifti', 'dicom-seg'" in result.stderr
    result = predict(trained, next((patient / "scan").iterdir()), output)
    assert result.exit_code == 1
    assert "give the folder that holds its series" in result.stderr
    monkeypatch.setitem(sys.modules, "highdicom.seg", None)
    result = predict(trained, patient, output, "--format", "dicom-seg")
    assert result.exit_code == 1
    assert "pip install 'mixcl_auto[dicom]'" in result.stderr
    assert list(output.glob("*.dcm")) == list(output.glob("*.nii.gz")) == []
