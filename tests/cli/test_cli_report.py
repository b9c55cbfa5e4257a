"""``report``: what the command passes on and prints."""

import pytest
from click.testing import CliRunner

from mixcl_auto.cli.main import cli
from mixcl_auto.io.files import write_text
from mixcl_auto.io.workspace import ReportFolder


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """What the workflow was called with, in place of a report."""
    made = []

    def report(workspace, **options):
        made.append(options)
        folder = ReportFolder(tmp_path / "report")
        write_text(folder.table("table1", "md"), "| the table |\n")
        write_text(folder.findings, "the findings\n")
        return folder

    monkeypatch.setattr("mixcl_auto.workflows.report.report", report)
    return made


@pytest.mark.parametrize(("words", "with_paper"), [([], False), (["--with-paper"], True)])
def test_the_papers_values_are_shown_on_request_alone(calls, tmp_path, words, with_paper):
    done = CliRunner().invoke(cli, ["-w", str(tmp_path), "report", "-p", "my.json", *words])
    assert done.exit_code == 0, done.output
    assert calls == [{"plan": "my.json", "with_paper": with_paper}]
    assert "| the table |" in done.output
    assert "the findings\n\nThe page is" in done.output


def test_help_says_for_which_targets_the_paper_has_values():
    said = " ".join(CliRunner().invoke(cli, ["report", "--help"]).output.split())
    assert "published Dice beside ours where a target is MSD Spleen or BTCV" in said
