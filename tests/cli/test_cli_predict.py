"""``predict`` on DICOM series, and what it says to wrong uses."""

import inspect
import json
import shutil
import sys
from pathlib import Path

import highdicom
import numpy as np
import pytest
from click.testing import CliRunner, Result
from dicom_series import write_series

import mixcl_auto
from mixcl_auto.cli.main import cli
from mixcl_auto.cli.predict import predict as command
from mixcl_auto.errors import PlanError
from mixcl_auto.io.images import read_image, read_labels
from mixcl_auto.io.orientation import from_ras
from mixcl_auto.io.workspace import Workspace

ALL = ("--probabilities", "--preview", "--statistics")
MODEL = ("--fraction", "0.25", "--init", "scratch", "--device", "cpu")
SHARED = {"study_uid": "1.2.3", "patient_id": "Secret"}


@pytest.fixture(scope="module")
def trained(planned_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a model of three organs; two steps don't make it a good one."""
    root = tmp_path_factory.mktemp("predict") / "workspace"
    shutil.copytree(planned_workspace.root, root, symlinks=True)
    for fold in ("0", "1"):
        done = call(Workspace(root), "finetune", *MODEL, "--fold", fold, "--set", "finetune.iterations=2")
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


def test_an_ensemble_of_all_folds_segments_a_series_with_flips_and_all_that_can_be_had_beside_it(
    trained: Workspace, patient: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    result = predict(trained, patient, output, "--all-folds", "--flips", "yz", *ALL)
    assert result.exit_code == 0, result.output
    assert "folds averaged: 0, 1; not trained yet: 2" in result.stderr
    assert "Secret" not in result.output
    written = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    assert written == {
        "patient.nii.gz",
        "plan.json",
        "prediction.json",
        "previews/patient.png",
        "statistics/patient.json",
        *(f"probabilities/patient/{organ}.nii.gz" for organ in ("spleen", "liver", "aorta")),
    }
    assert all(b"Secret" not in (output / name).read_bytes() for name in written)
    record = json.loads((output / "prediction.json").read_text())
    assert [model["run"] for model in record["models"]] == [
        f"Target_Abdomen/scratch/fraction_0.25/fold_{fold}/seed_0" for fold in (0, 1)
    ]
    assert (record["flips"], record["scans"]) == ("yz", ["patient"])


def test_the_functions_options_are_those_of_the_command_and_do_the_same(
    trained: Workspace, patient: Path, tmp_path: Path
) -> None:
    result = predict(trained, patient, tmp_path / "cli", "--fold", "1", "--flips", "y", *ALL)
    assert result.exit_code == 0, result.output
    written = mixcl_auto.predict(
        patient,
        tmp_path / "python",
        trained,
        folds=[1],
        fraction=0.25,
        init="scratch",
        flips="y",
        probabilities=True,
        preview=True,
        statistics=True,
        device="cpu",
    )
    assert written == [tmp_path / "python" / "patient.nii.gz"]
    for path in (tmp_path / "python").rglob("*"):
        other = tmp_path / "cli" / path.relative_to(tmp_path / "python")
        assert path.is_dir() or path.read_bytes() == other.read_bytes(), path.name


def test_every_option_of_the_command_is_a_parameter_of_the_function() -> None:
    names = {str(option.name) for option in command.params}
    parameters = set(inspect.signature(mixcl_auto.predict).parameters)
    assert (names - {"max_time"}) | {"workspace", "progress"} == parameters


def test_all_folds_are_those_that_are_trained(trained: Workspace, patient: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    result = predict(trained, patient, output, "--all-folds", "--fold", "1")
    assert result.exit_code == 2
    assert "give one of the two" in result.stderr
    result = predict(trained, patient, output, "--all-folds", "--seed", "7")
    assert result.exit_code == 1
    assert "no fine-tuning of Target_Abdomen, scratch, fraction_0.25, fold 0, seed 7" in result.stderr
    assert not output.exists()


def test_flips_that_would_spoil_the_result_are_refused(
    trained: Workspace, patient: Path, tmp_path: Path
) -> None:
    result = predict(trained, patient, tmp_path / "out", "--flips", "zy")
    assert result.exit_code == 2
    assert "'zy' is not one of" in result.stderr
    with pytest.raises(PlanError, match=r"inference\.flips"):
        mixcl_auto.predict(
            patient, tmp_path / "out", trained, fraction=0.25, init="scratch", flips="zy", device="cpu"
        )


def test_label_maps_do_not_come_between_the_images(trained: Workspace, tmp_path: Path) -> None:
    images = tmp_path / "images"
    shutil.copytree(trained.raw_data / "Target_Abdomen" / "imagesTr", images)
    before = sorted(images.iterdir())
    result = predict(trained, images, images)
    assert result.exit_code == 1
    assert "would lie between the images" in result.stderr
    assert sorted(images.iterdir()) == before
