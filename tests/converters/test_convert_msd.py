import json
from pathlib import Path
from typing import Any

import pytest
from download_imitations import touch

from mixcl_auto.converters.conversion import Source
from mixcl_auto.converters.msd import is_nnunet, is_root, read
from mixcl_auto.errors import DataError


def make(folder: Path, stems=("lung_001", "lung_002"), **changes: Any) -> Path:
    document = {
        "name": "Lung",
        "description": "Lung and cancer segmentation",
        "reference": "TCIA",
        "licence": "CC-BY-SA 4.0",
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "lung cancer"},
        "numTraining": len(stems),
        "training": [
            {"image": f"./imagesTr/{stem}.nii.gz", "label": f"./labelsTr/{stem}.nii.gz"} for stem in stems
        ],
        "test": ["./imagesTs/lung_900.nii.gz"],
    }
    for stem in stems:
        touch(folder / "imagesTr" / f"{stem}.nii.gz", folder / "imagesTr" / f"._{stem}.nii.gz")
        touch(folder / "labelsTr" / f"{stem}.nii.gz", folder / "labelsTr" / f"._{stem}.nii.gz")
    touch(folder / "imagesTs" / "lung_900.nii.gz", folder / "._dataset.json")
    (folder / "dataset.json").write_text(json.dumps(document | changes))
    return folder


def convert(folder: Path):
    return read(folder, Source(folder))


def test_a_task_is_called_as_its_folder_and_keeps_what_its_source_states(tmp_path):
    found = convert(make(tmp_path / "Task06_Lung"))
    assert found.dataset.name == "Task06_Lung"
    assert found.dataset.role == "pretrain"
    assert found.dataset.channel_name == "CT"
    assert found.dataset.labels == {"lung cancer": 1}
    assert found.about == {
        "description": "Lung and cancer segmentation",
        "reference": "TCIA",
        "licence": "CC-BY-SA 4.0",
    }
    assert (found.left_out, found.warnings) == ({}, ())


def test_only_the_listed_pairs_are_cases_without_hidden_files_or_test_scans(tmp_path):
    folder = make(tmp_path / "T")
    cases = convert(folder).dataset.cases
    assert [case.id for case in cases] == ["lung_001", "lung_002"]
    assert cases[0].image == folder / "imagesTr" / "lung_001.nii.gz"
    assert cases[0].label == folder / "labelsTr" / "lung_001.nii.gz"
    assert cases[0].label_flips is None


def test_the_spleen_is_the_target(tmp_path):
    assert convert(make(tmp_path / "renamed", name="Spleen")).dataset.role == "target"


def test_missing_files_leave_their_case_out_by_name(tmp_path):
    folder = make(tmp_path / "T", stems=("a", "b", "c"))
    (folder / "imagesTr" / "a.nii.gz").unlink()
    (folder / "labelsTr" / "b.nii.gz").unlink()
    found = convert(folder)
    assert [case.id for case in found.dataset.cases] == ["c"]
    assert found.left_out == {"image or label map missing (extract the rest of the download)": ("a", "b")}


def test_a_task_without_any_file_is_refused(tmp_path):
    folder = make(tmp_path / "T")
    for path in (folder / "imagesTr").iterdir():
        path.unlink()
    with pytest.raises(
        DataError, match=r"no case can be used\nleft out, image or label map missing .*lung_001"
    ):
        convert(folder)


def test_files_that_are_not_listed_are_said(tmp_path):
    folder = make(tmp_path / "T")
    touch(folder / "imagesTr" / "lung_777.nii.gz")
    assert convert(folder).left_out == {
        "not listed under `training` in the Decathlon's dataset.json": ("lung_777",)
    }


@pytest.mark.parametrize("ending", [".nii", ".NII.GZ", ".NII"])
def test_files_of_another_ending_are_found(tmp_path, ending):
    folder = make(tmp_path / "T")
    image = folder / "imagesTr" / "lung_001.nii.gz"
    image.rename(image.with_name(f"lung_001{ending}"))
    cases = convert(folder).dataset.cases
    assert [case.image.name for case in cases] == [f"lung_001{ending}", "lung_002.nii.gz"]


def test_links_are_files_and_stay_links(tmp_path):
    folder = make(tmp_path / "T")
    image = folder / "imagesTr" / "lung_001.nii.gz"
    image.rename(tmp_path / "elsewhere.nii.gz")
    image.symlink_to(tmp_path / "elsewhere.nii.gz")
    assert convert(folder).dataset.cases[0].image == image
    (tmp_path / "elsewhere.nii.gz").unlink()
    assert [case.id for case in convert(folder).dataset.cases] == ["lung_002"]


def test_another_modality_keeps_its_name(tmp_path):
    assert convert(make(tmp_path / "T", modality={"0": "MRI"})).dataset.channel_name == "MRI"


def test_several_channels_are_refused_with_their_names(tmp_path):
    folder = make(tmp_path / "T", modality={"0": "T2", "1": "ADC"})
    with pytest.raises(DataError, match=r"2 channels \(T2, ADC\), and one is supported"):
        convert(folder)


def test_labels_with_gaps_are_refused(tmp_path):
    with pytest.raises(DataError, match="1 to n without gaps"):
        convert(make(tmp_path / "T", labels={"0": "background", "2": "x"}))


def test_malformed_lists_name_the_field(tmp_path):
    with pytest.raises(DataError, match=r"dataset.json: 1 mistake\(s\).*\n  training.0.label: "):
        convert(make(tmp_path / "T", training=[{"image": "./imagesTr/a.nii.gz"}]))


def test_a_number_of_cases_that_does_not_agree_is_a_warning(tmp_path):
    assert convert(make(tmp_path / "T", numTraining=64)).warnings == (
        "dataset.json says numTraining 64, but lists 2 cases",
    )


def test_a_task_is_known_by_its_list(tmp_path):
    assert is_root(make(tmp_path / "T"))
    (tmp_path / "T" / "dataset.json").write_text('{"channel_names": {"0": "CT"}, "numTraining": 2}')
    assert not is_root(tmp_path / "T")


def test_a_damaged_list_is_named(tmp_path):
    folder = make(tmp_path / "T")
    (folder / "dataset.json").write_text("{")
    assert is_root(folder)
    with pytest.raises(DataError, match=r"dataset.json: not JSON"):
        convert(folder)


def test_nnunets_first_version_lists_cases_as_the_decathlon_but_needs_no_conversion(tmp_path):
    folder = make(tmp_path / "T")
    assert not is_nnunet(folder)
    touch(folder / "imagesTr" / "lung_001_0000.nii.gz")
    assert is_nnunet(folder)
    assert not is_root(folder)
