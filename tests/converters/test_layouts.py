from pathlib import Path

import pytest
from download_imitations import touch

from mixcl_auto.cli.convert import LAYOUT_NAMES
from mixcl_auto.converters.conversion import Source
from mixcl_auto.converters.layouts import LAYOUTS, read_source
from mixcl_auto.errors import DataError


def refused(layout: str, folder: Path) -> str:
    with pytest.raises(DataError) as problem:
        read_source(LAYOUTS[layout], Source(folder))
    return str(problem.value)


def test_the_command_line_offers_every_layout():
    assert tuple(LAYOUTS) == LAYOUT_NAMES


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_wrong_folder_says_what_was_expected_and_what_is_there(tmp_path, layout):
    touch(tmp_path / "scan.mha", tmp_path / "more" / "x", tmp_path / ".hidden")
    message = refused(layout, tmp_path)
    assert message.startswith(f"{tmp_path}: this is not {LAYOUTS[layout].title}; expected there\n  ")
    assert message.endswith("\nand found\n  more/\n  scan.mha")
    for line in LAYOUTS[layout].tree.splitlines():
        assert line in message


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_empty_folder_says_so(tmp_path, layout):
    assert refused(layout, tmp_path).endswith("and found\n  (nothing)")


@pytest.mark.parametrize("below", ["case_00000", "case_00000/more"])
def test_a_folder_inside_the_dataset_leads_to_it(tmp_path, below):
    touch(tmp_path / "data" / "case_00000" / "more" / "segmentation.nii.gz")
    message = refused("kits19", tmp_path / "data" / below)
    assert message.endswith(f"It lies inside one: give {tmp_path / 'data'}.")


def test_long_listings_are_cut(tmp_path):
    touch(*(tmp_path / f"{number:02d}" for number in range(12)))
    assert refused("msd", tmp_path).endswith("  07\n  ... and 4 more")


def test_another_layout_that_fits_is_suggested(tmp_path):
    touch(tmp_path / "data" / "case_00000" / "segmentation.nii.gz")
    assert refused("btcv", tmp_path).endswith("This looks like KiTS19: use `mixcl_auto convert kits19`.")


def test_nnunets_layout_needs_no_conversion(tmp_path):
    touch(tmp_path / "Dataset009_Spleen" / "imagesTr" / "spleen_1_0000.nii.gz")
    (tmp_path / "Dataset009_Spleen" / "dataset.json").write_text('{"channel_names": {"0": "CT"}}')
    assert "nnU-Net's layout, which needs no conversion" in refused("msd", tmp_path)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("Task09_Spleen.tar", "tar -xf Task09_Spleen.tar"),
        ("RawData.zip", "unzip RawData.zip"),
        ("x.tar.gz", "tar -xf"),
    ],
)
def test_an_archive_is_to_be_extracted_first(tmp_path, name, how):
    touch(tmp_path / name)
    assert how in refused("msd", tmp_path / name)
    assert f"Extract {name} first." in refused("msd", tmp_path)


def test_a_file_and_a_missing_folder_are_refused(tmp_path):
    touch(tmp_path / "dataset.json")
    assert refused("msd", tmp_path / "dataset.json").endswith("a file; give the folder of the whole dataset")
    assert "no such folder" in refused("msd", tmp_path / "nowhere")


def test_of_several_tasks_one_is_to_be_given(tmp_path):
    for task in ("Task06_Lung", "Task09_Spleen"):
        touch(tmp_path / task / "imagesTr" / "a.nii.gz")
        (tmp_path / task / "dataset.json").write_text('{"training": []}')
    message = refused("msd", tmp_path)
    assert "2 folders here look like a task of the Medical Segmentation Decathlon; give one of" in message
    assert message.endswith(f"\n  {tmp_path / 'Task06_Lung'}\n  {tmp_path / 'Task09_Spleen'}")


@pytest.mark.parametrize("above", [".", "..", "../.."])
def test_the_dataset_may_lie_below_the_folder_given(tmp_path, above):
    data = tmp_path / "downloads" / "kits19" / "data"
    touch(data / "case_00000" / "segmentation.nii.gz", data / "case_00000" / "imaging.nii.gz")
    found = read_source(LAYOUTS["kits19"], Source((data / above).resolve()))
    assert found.root == data
