"""Commands that messages suggest, as they have to be typed: with the ``-w`` that this one was given."""

import re
import shlex
from pathlib import Path

HERE = Path()
"""The workspace that needs no naming."""
_SUGGESTED = re.compile(r"`mixcl_auto (?=\w)")


def program(workspace: Path) -> str:
    """What a command for this workspace begins with."""
    return "mixcl_auto" if workspace == HERE else f"mixcl_auto -w {shlex.quote(str(workspace))}"


def name_workspace(message: str, workspace: Path) -> str:
    """Name the workspace in every command between backquotes; only the command line knows of it."""
    return _SUGGESTED.sub(lambda _: f"`{program(workspace)} ", message)
