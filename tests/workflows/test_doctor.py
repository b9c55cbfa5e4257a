import os
import re
from pathlib import Path

import pytest

from mixcl_auto.workflows import doctor as module
from mixcl_auto.workflows.doctor import check_disk, check_memory, doctor


def test_a_sound_installation_has_no_problem_and_learns_in_its_step(tmp_path: Path) -> None:
    checks = doctor(tmp_path / "not" / "yet" / "there", device="cpu")
    assert [check for check in checks if check.state == "problem"] == []
    (step,) = [check for check in checks if check.name == "training step"]
    assert step.finding.startswith("cpu, ")
    before, after = re.findall(r"(?:loss|then) (\d+\.\d+)", step.finding)
    assert float(after) < float(before)


def test_one_broken_check_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken() -> list[module.Check]:
        raise OSError("no such thing")

    monkeypatch.setattr(module, "check_presets", broken)
    monkeypatch.setattr(module, "check_training_step", lambda device: module.Check("ok", "training step", ""))
    checks = doctor(tmp_path)
    (problem,) = [check for check in checks if check.state == "problem"]
    assert (problem.name, problem.finding) == ("presets", "OSError: no such thing")
    assert checks[-1].name == "training step"


def test_a_missing_library_is_a_problem_and_an_optional_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        module, "required_libraries", lambda: {"no-such-library": None, "no-such-part": "ray"}
    )
    checks = {check.name: check for check in module.check_libraries()}
    assert checks["no-such-library"].state == "problem"
    assert checks["no-such-part"].state == "ok"
    assert checks["no-such-part"].finding == "not installed; optional: pip install 'mixcl_auto[ray]'"


def test_all_that_the_package_requires_is_looked_at() -> None:
    found = module.required_libraries()
    assert {found[name] for name in ("torch", "einops", "click", "jinja2")} == {None}
    assert (found["highdicom"], found["isal"], found["ray"]) == ("dicom", "fast", "ray")
    assert "pytest" not in found


def test_a_package_run_from_its_sources_requires_nothing_that_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PACKAGE", "never-installed")
    assert module.required_libraries() == {}


def test_a_missing_file_of_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHIPPED", ("presets/paper.json", "presets/lost.json"))
    (check,) = module.check_installed_files()
    assert check.state == "problem"
    assert "presets/lost.json" in check.finding
    assert "paper" not in check.finding


def test_little_memory_is_a_warning() -> None:
    assert check_memory(4.0).state == "warning"
    assert check_memory(64.0).state == "ok"
    assert check_memory(None).state == "warning"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_workspace_is_a_problem(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    check = check_disk(tmp_path / "workspace")
    tmp_path.chmod(0o700)
    assert check.state == "problem"
    assert str(tmp_path) in check.finding
