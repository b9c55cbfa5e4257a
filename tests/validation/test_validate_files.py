import json

import numpy as np
import pytest
import SimpleITK

from mixcl_auto.io.inspection import inspect_case
from mixcl_auto.io.raw_dataset import read_raw_dataset
from mixcl_auto.validation.validate import judge_case, validate_datasets

sitk = SimpleITK


def write(path, values, spacing_mm=(3.0, 3.0, 3.0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(spacing_mm)
    sitk.WriteImage(image, str(path))


@pytest.fixture
def folder(tmp_path):
    generator = np.random.default_rng(0)
    for name in ("läber 1", "b", "c"):
        image = generator.integers(-1000, 1000, (6, 7, 8)).astype(np.int16)
        labels = np.zeros((6, 7, 8), np.uint8)
        labels[2:4, 2:4, 2:4] = 1
        write(tmp_path / "D" / "imagesTr" / f"{name}_0000.nii.gz", image)
        write(tmp_path / "D" / "labelsTr" / f"{name}.nii.gz", labels)
    document = {"role": "target", "labels": {"background": 0, "liver": 1}, "file_ending": ".nii.gz"}
    (tmp_path / "D" / "dataset.json").write_text(json.dumps(document))
    return tmp_path / "D"


def test_sound_files_with_spaces_and_umlauts_pass(folder):
    assert validate_datasets([read_raw_dataset(folder)], jobs=1) == []


def test_faults_of_all_files_are_found_in_one_go(folder):
    (folder / "imagesTr" / "b_0000.nii.gz").unlink()
    path = folder / "labelsTr" / "c.nii.gz"
    path.write_bytes(path.read_bytes()[:60])
    write(folder / "labelsTr" / "läber 1.nii.gz", np.ones((6, 7, 8), np.uint8), spacing_mm=(3.0, 3.0, 4.0))
    (folder / "labelsTr" / "d.nii.gz").write_bytes(b"")
    found = validate_datasets([read_raw_dataset(folder)], jobs=1)
    messages = {(item.case, item.file.rpartition("/")[2]): item.message for item in found if item.file}
    assert "no such file" in messages["b", "b_0000.nii.gz"]
    assert "truncated or damaged" in messages["c", "c.nii.gz"] or "can't read" in messages["c", "c.nii.gz"]
    assert "spacings" in messages["läber 1", "läber 1.nii.gz"]
    assert "no such file" in messages["d", "d_0000.nii.gz"]
    assert "0 bytes" in messages["d", "d.nii.gz"]
    assert all(item.severity == "error" for item in found)


def test_one_case_can_be_judged_alone(folder):
    dataset = read_raw_dataset(folder)
    write(folder / "labelsTr" / "b.nii.gz", np.full((6, 7, 8), 5, np.uint8))
    (finding,) = judge_case(
        dataset, inspect_case(dataset.name, next(case for case in dataset.cases if case.id == "b"))
    )
    assert "label values 5 are not in dataset.json" in finding.message


def test_a_folder_in_the_place_of_a_file_is_named(folder):
    path = folder / "imagesTr" / "b_0000.nii.gz"
    path.unlink()
    path.mkdir()
    found = validate_datasets([read_raw_dataset(folder)], jobs=1)
    assert ["can't be opened" in item.message for item in found] == [True]
