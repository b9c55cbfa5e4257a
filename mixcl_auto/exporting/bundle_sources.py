"""The code that a bundle carries: its scripts, and what they need of mixcl_auto, copied as it is.

A bundle so resamples with the very code that made the training cases and that ``predict`` uses, and gives
the same voxels.
"""

import ast
import re
from pathlib import Path

SCRIPTS = "scripts"
"""The bundle's package."""

_PACKAGE = Path(__file__).resolve().parents[1]
_OWN = ("exporting", "bundle_scripts")
_IMPORT = re.compile(r"^from mixcl_auto\.(?:exporting\.bundle_scripts\.)?", flags=re.MULTILINE)


def bundle_sources() -> dict[Path, str]:
    """Text of every source file by its path in the bundle."""
    waiting = [path.relative_to(_PACKAGE) for path in (_PACKAGE.joinpath(*_OWN)).glob("*.py")]
    found: dict[Path, str] = {}
    while waiting:
        module = waiting.pop()
        place = _place(module)
        if place in found:
            continue
        text = (_PACKAGE / module).read_text(encoding="utf-8")
        found[place] = _IMPORT.sub(f"from {SCRIPTS}.", text)
        packages = [folder for folder in module.parents[:-1] if folder.name not in _OWN]
        waiting += [*_imported(text), *(folder / "__init__.py" for folder in packages)]
    return found


def _imported(text: str) -> list[Path]:
    """The modules of this package that a module imports from."""
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    names = [node.module.split(".") for node in imports if node.module is not None]
    return [Path(*name[1:]).with_suffix(".py") for name in names if name[0] == "mixcl_auto"]


def _place(module: Path) -> Path:
    """Where a file of the package lies in the bundle."""
    own = Path(*_OWN)
    return Path(SCRIPTS) / (module.relative_to(own) if module.is_relative_to(own) else module)
