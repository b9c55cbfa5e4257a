from pathlib import Path

import pytest

from mixcl_auto.cli.main import COMMANDS
from mixcl_auto.cli.suggestions import HERE, name_workspace, program


def test_commands_name_the_workspace() -> None:
    text = "no plan; run `mixcl_auto pretrain -p a.json`, or `mixcl_auto report` (not mixcl_auto itself)"
    assert name_workspace(text, Path("/data/w")) == (
        "no plan; run `mixcl_auto -w /data/w pretrain -p a.json`, or `mixcl_auto -w /data/w report` "
        "(not mixcl_auto itself)"
    )


def test_odd_names_are_quoted_as_a_shell_wants_them() -> None:
    assert program(Path(r"my \1 work")) == r"mixcl_auto -w 'my \1 work'"
    assert (
        name_workspace("`mixcl_auto report`", Path(r"my \1 work")) == r"`mixcl_auto -w 'my \1 work' report`"
    )


@pytest.mark.parametrize("text", ["`mixcl_auto -w v report`", "`mixcl_auto --version`", "`other report`"])
def test_what_names_its_workspace_or_needs_none_is_left(text: str) -> None:
    assert name_workspace(text, Path("w")) == text


@pytest.mark.parametrize("command", COMMANDS)
def test_the_current_folder_is_not_named(command: str) -> None:
    assert name_workspace(f"`mixcl_auto {command}`", HERE) == f"`mixcl_auto {command}`"
