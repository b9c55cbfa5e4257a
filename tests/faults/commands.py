"""The commands as a user gives them, in this process, and what they leave."""

from collections.abc import Iterable
from pathlib import Path

from click.testing import CliRunner, Result

from mixcl_auto.cli.main import cli
from mixcl_auto.io.workspace import Workspace

PRETRAIN = ("pretrain", "--device", "cpu")
FINETUNE = ("finetune", "--init", "mixcl", "--device", "cpu")
PLAN = ("plan_and_preprocess", "--preset", "tiny", "--spacing", 12, 12, 13, "--jobs", 1)
"""Beside the edits that the shared workspace was planned with: see ``plan_command``."""


def plan_command(edits: Iterable[str]) -> tuple[object, ...]:
    """The command that made the shared workspace."""
    return *PLAN, *(part for edit in edits for part in ("--set", edit))


def run(workspace: Workspace, *arguments: object) -> Result:
    """Give a command."""
    return CliRunner().invoke(cli, ["-w", str(workspace.root), *map(str, arguments)])


def succeed(workspace: Workspace, *arguments: object) -> Result:
    """Give a command that must do its work."""
    result = run(workspace, *arguments)
    assert result.exit_code == 0, result.output
    return result


def refused(workspace: Workspace, *arguments: object) -> str:
    """Give a command that must end with a message and exit code 1; what it said, on one line."""
    result = run(workspace, *arguments)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    assert "This is a bug" not in result.output
    return " ".join(result.output.split())


def contents(folder: Path, patterns: Iterable[str] = ("**/*",)) -> dict[str, bytes]:
    """Every file below a folder that has one of the patterns."""
    files = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(files)}


def leftovers(folder: Path) -> list[Path]:
    """Files and folders that were not finished."""
    return list(folder.rglob(".*-*.*"))
