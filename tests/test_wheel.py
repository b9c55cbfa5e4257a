"""A built wheel works without the repository."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mixcl_auto.exporting.bundle_sources import bundle_sources

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("mixcl_auto", "plans", "raw_data_template", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the repository gets no build folder, without network."""
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            skip = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=skip)
        else:
            shutil.copy(ROOT / name, source / name)
    target = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(target),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(folder),
    ]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    return folder


def run_elsewhere(site: Path, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}
    environment |= {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_wheel_holds_presets_templates_and_every_module(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "mixcl_auto").rglob("*.py")}
    assert modules <= names
    for name in ("paper", "balanced", "tiny"):
        assert f"mixcl_auto/presets/{name}.json" in names
    templates = [path for path in (ROOT / "raw_data_template").rglob("*") if path.is_file()]
    assert {f"mixcl_auto/{path.relative_to(ROOT)}" for path in templates} <= names
    for name in ("viewer.js", "viewer.html.j2"):
        assert f"mixcl_auto/reporting/templates/{name}" in names
    html = {str(path.relative_to(ROOT)) for path in (ROOT / "mixcl_auto").rglob("*.html*")}
    assert html <= names
    assert not any(name.startswith(("tests/", "plans/")) for name in names)


def test_installed_wheel_passes_the_doctor_without_the_repository(site: Path, tmp_path: Path) -> None:
    done = run_elsewhere(site, tmp_path, "-m", "mixcl_auto", "doctor", "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "installed files" in line]
    assert str(site)[:60] in line
    assert str(ROOT / "mixcl_auto") not in done.stdout


def test_every_module_of_the_wheel_is_imported_from_it(site: Path, tmp_path: Path) -> None:
    code = (
        "import importlib, pkgutil, mixcl_auto\n"
        "names = [item.name for item in pkgutil.walk_packages(mixcl_auto.__path__, 'mixcl_auto.')]\n"
        "names = [name for name in names if not name.endswith('__main__')]\n"
        "files = [importlib.import_module(name).__file__ for name in names]\n"
        f"assert all(file.startswith({str(site)!r}) for file in files), files\n"
        "print(len(files))\n"
    )
    done = run_elsewhere(site, tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50


def test_installed_wheel_finds_the_code_that_a_bundle_carries(site: Path, tmp_path: Path) -> None:
    code = (
        "from mixcl_auto.exporting import bundle_sources\n"
        f"assert bundle_sources.__file__.startswith({str(site)!r})\n"
        "print(*bundle_sources.bundle_sources(), sep='\\n')\n"
    )
    done = run_elsewhere(site, tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {str(path) for path in bundle_sources()}
