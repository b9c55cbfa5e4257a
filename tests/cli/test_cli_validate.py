import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mixcl_auto.cli.findings import print_findings
from mixcl_auto.cli.main import cli
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.records.finding import Finding


def run(workspace: Workspace, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["-w", str(workspace.root), "validate", "--jobs", "1", *arguments])


def finding(number: int, *, severity: str = "warning", dataset: str = "D", check: str = "c") -> Finding:
    return Finding.model_validate(
        {
            "severity": severity,
            "dataset": dataset,
            "case": f"case_{number}",
            "message": f"problem {number}; mend it",
            "check": check,
        }
    )


def test_a_piped_list_has_a_line_per_problem_errors_first(capsys: pytest.CaptureFixture[str]) -> None:
    print_findings([finding(1), finding(2, severity="error", dataset="E"), finding(3, check="d")])
    assert capsys.readouterr().out.splitlines() == [
        "error: E, case_2: problem 2; mend it",
        "warning: D, case_1: problem 1; mend it",
        "warning: D, case_3: problem 3; mend it",
        "1 error, 2 warnings",
    ]


def test_many_problems_of_a_kind_are_folded_per_dataset(capsys: pytest.CaptureFixture[str]) -> None:
    of_one_kind = [finding(number) for number in range(40)]
    others = [finding(number, dataset="E") for number in range(4)]
    print_findings([*of_one_kind, *others])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:5] == [
        "warning: D, case_2: problem 2; mend it",
        "warning: D, ...: and 37 more of this kind; all are in validation.json",
        "warning: E, case_0: problem 0; mend it",
    ]
    assert len(lines) == 3 + 1 + 4 + 1
    assert lines[-1] == "0 errors, 44 warnings"


def test_faults_of_one_check_that_call_for_different_things_are_not_folded_together(
    capsys: pytest.CaptureFixture[str],
) -> None:
    faults = ["no such file; put it there", "empty (0 bytes); copy it again", "gzip; rename it to {}.nii.gz"]
    print_findings(
        finding(number).model_copy(update={"message": faults[number % 3].format(f"case_{number}")})
        for number in range(60)
    )
    lines = capsys.readouterr().out.splitlines()
    assert [sum(fault[:5] in line for line in lines) for fault in faults] == [3, 3, 3]
    assert sum("and 17 more of this kind" in line for line in lines) == 3


def test_a_message_of_several_lines_goes_on_indented(capsys: pytest.CaptureFixture[str]) -> None:
    print_findings([Finding(severity="error", dataset="", message="2 mistakes:\n  role\n  labels")])
    assert capsys.readouterr().out.splitlines()[:3] == ["error: 2 mistakes:", "      role", "      labels"]


@pytest.mark.parametrize("columns", [80, 160])
def test_a_terminal_shows_a_table_that_fits_it(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    long = "a message of many words " * 10
    print_findings([finding(1), Finding(severity="error", dataset="D", case="x", message=long)])
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= columns
    assert [word in " ".join(lines) for word in ("severity", "dataset", "case", "problem")] == [True] * 4


def test_errors_exit_with_1_and_are_in_the_json_apart_from_warnings(copied_phantoms: Workspace) -> None:
    image = next((copied_phantoms.raw_data / "Pool_Liver" / "imagesTr").iterdir())
    image.write_bytes(b"")
    result = run(copied_phantoms)
    assert result.exit_code == 1
    assert "the file is empty (0 bytes)" in result.stdout
    assert "9 cases in 3 datasets" in result.stdout
    document = json.loads(copied_phantoms.validation.read_text())
    assert [found["file"] for found in document["errors"]] == [str(image)]
    assert {found["severity"] for found in document["warnings"]} <= {"warning"}
    assert document["datasets"]["Target_Abdomen"] == {"role": "target", "cases": 5}


def test_warnings_alone_exit_with_0(copied_phantoms: Workspace) -> None:
    (copied_phantoms.raw_data / "notes").mkdir()
    result = run(copied_phantoms)
    assert (result.exit_code, "0 errors, " in result.stdout) == (0, True)
    assert "warning: notes: no dataset.json there" in result.stdout


def test_a_named_dataset_that_can_not_be_read_is_listed_and_exits_with_1(copied_phantoms: Workspace) -> None:
    (copied_phantoms.raw_data / "Pool_Liver" / "dataset.json").write_text("{")
    result = run(copied_phantoms, "-d", "Pool_Liver")
    assert result.exit_code == 1
    assert "error: Pool_Liver: " in result.stdout
    assert "0 cases in 0 datasets" in result.stdout
    assert json.loads(copied_phantoms.validation.read_text())["datasets"] == {}


def test_a_dataset_that_is_not_there_is_refused_with_those_that_are(copied_phantoms: Workspace) -> None:
    result = run(copied_phantoms, "-d", "Liver")
    assert result.exit_code == 1
    assert "no dataset Liver; there are: Pool_Kidneys, Pool_Liver, Target_Abdomen" in result.stderr


def test_a_workspace_without_data_is_refused(tmp_path: Path, copied_phantoms: Workspace) -> None:
    shutil.rmtree(copied_phantoms.raw_data)
    result = run(copied_phantoms)
    assert result.exit_code == 1
    assert "raw_data: no dataset (a folder with a dataset.json)" in result.stderr
