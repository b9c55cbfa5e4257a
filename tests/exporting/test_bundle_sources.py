import ast
import subprocess
import sys
from pathlib import Path

from mixcl_auto.exporting.bundle_sources import bundle_sources

ALLOWED = {"scripts", "numpy", "scipy", "numba", "torch", "monai", "nibabel"}


def imported(text: str) -> set[str]:
    nodes = list(ast.walk(ast.parse(text)))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.split(".")[0] for name in names} - sys.stdlib_module_names


def test_sources_need_nothing_but_themselves_and_what_the_metadata_names() -> None:
    sources = bundle_sources()
    assert all(imported(text) <= ALLOWED for text in sources.values())
    assert Path("scripts/transforms/kernels/axis_resampling.py") in sources
    assert not any("exporting" in path.parts or "io" in path.parts for path in sources)


def test_every_package_has_its_init() -> None:
    sources = bundle_sources()
    assert {path.parent / "__init__.py" for path in sources} <= sources.keys()


def test_sources_are_imported_without_mixcl_auto(tmp_path: Path) -> None:
    for path, text in bundle_sources().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    code = "import sys; sys.modules['mixcl_auto'] = None; import scripts.scan_transforms, scripts.network"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
