"""``mixcl_auto convert`` as a user sees it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mixcl_auto.cli.main import cli


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, list(map(str, arguments)))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """KiTS19 with one case whose scan was fetched and one whose was not."""
    folder = tmp_path / "kits19"
    for case in ("case_00000", "case_00001"):
        (folder / "data" / case).mkdir(parents=True)
        (folder / "data" / case / "segmentation.nii.gz").touch()
    (folder / "data" / "case_00000" / "imaging.nii.gz").touch()
    return folder


def test_a_few_lines_say_what_was_found_left_out_and_written_and_what_is_next(tmp_path, repository):
    result = run("-w", tmp_path / "w", "convert", "kits19", repository)
    assert result.exit_code == 0, result.output
    path = tmp_path / "w" / "raw_data" / "KiTS19" / "dataset.json"
    assert result.stdout.splitlines() == [
        "KiTS19: 1 case, role pretrain",
        "labels: 1 kidney, 2 tumour",
        "left out, no imaging (fetch it with `python -m starter_code.get_imaging` in the repository): "
        "case_00001",
        f"{path} is written; the scans stay where they are",
        f"Next: mixcl_auto -w {tmp_path / 'w'} validate -d KiTS19",
    ]
    assert path.is_file()


def test_the_next_command_can_be_pasted(tmp_path, repository, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("convert", "kits19", "kits19", "--name", "Nieren groß", "--role", "both")
    assert result.stdout.splitlines()[-1] == "Next: mixcl_auto validate -d 'Nieren groß'"
    document = json.loads((tmp_path / "raw_data" / "Nieren groß" / "dataset.json").read_text())
    assert document["role"] == "both"


def test_warnings_go_to_stderr(tmp_path):
    training = tmp_path / "RawData" / "Training"
    for part, name in (("img", "img0001"), ("label", "label0001")):
        (training / part).mkdir(parents=True)
        (training / part / f"{name}.nii.gz").touch()
    result = run("-w", tmp_path, "convert", "btcv", tmp_path / "RawData")
    assert result.exit_code == 0
    assert result.stderr.startswith("Warning: BTCV has 30 cases (1 to 10 and 21 to 40), here are 1")


def test_the_same_again_is_said_to_be_there_already(tmp_path, repository):
    run("-w", tmp_path, "convert", "kits19", repository)
    result = run("-w", tmp_path, "convert", "kits19", repository)
    assert result.exit_code == 0
    assert "dataset.json was there already, with the same content" in result.stdout


def test_a_wrong_folder_is_one_message_and_exit_1(tmp_path, repository):
    result = run("-w", tmp_path, "convert", "btcv", repository)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {repository}: this is not BTCV; expected there")
    assert "This looks like KiTS19" in result.stderr
    assert not (tmp_path / "raw_data").exists()


@pytest.mark.parametrize(
    "arguments", [["amos", "."], ["msd"], ["msd", ".", "--role", "test"], ["msd", ".", "--jobs", "0"]]
)
def test_wrong_usage_exits_with_2(arguments):
    assert run("convert", *arguments).exit_code == 2
