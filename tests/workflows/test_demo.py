from pathlib import Path

import pytest

from mixcl_auto.io.plans import read_plan
from mixcl_auto.io.workspace import Workspace
from mixcl_auto.phantoms.anatomy import LABELS
from mixcl_auto.workflows import demo as module
from mixcl_auto.workflows.demo import StepSeconds, budget_steps, last_seconds, make_datasets
from mixcl_auto.workflows.phantom_datasets import DEMO_DATASETS, PhantomDataset


def test_budget_spends_the_minutes_given() -> None:
    pretrain, finetune = budget_steps(StepSeconds(0.5, 0.15), minutes=6)
    assert (pretrain, finetune) == (290, 240)  # 144 s / 0.5 s; 216 s / 6 runs / 0.15 s
    assert pretrain * 0.5 + 6 * finetune * 0.15 == pytest.approx(360, rel=0.03)


def test_budget_has_bounds() -> None:
    assert budget_steps(StepSeconds(100.0, 100.0), minutes=1) == (module.FEWEST_STEPS, module.FEWEST_STEPS)
    assert budget_steps(StepSeconds(1e-6, 1e-6), minutes=1) == (module.MOST_STEPS, module.MOST_STEPS)


def test_step_time_leaves_out_the_start(tmp_path: Path) -> None:
    timing = tmp_path / "timing.csv"
    timing.write_text("step,seconds,samples_per_second\n10,5.0,1\n20,0.2,1\n30,0.4,1\n")
    assert last_seconds(timing) == pytest.approx(0.3)
    timing.write_text("step,seconds,samples_per_second\n10,5.0,1\n")
    assert last_seconds(timing) == pytest.approx(5.0)


def test_demo_datasets_annotate_different_organs_and_one_is_the_target() -> None:
    pool = [dataset for dataset in DEMO_DATASETS if dataset.role == "pretrain"]
    (target,) = [dataset for dataset in DEMO_DATASETS if dataset.role == "target"]
    organs = [organ for dataset in pool for organ in dataset.organs]
    assert len(organs) == len(set(organs))
    assert {*organs, *target.organs} <= set(LABELS)
    assert set(target.organs) - set(organs), "the target needs an organ that the pool does not annotate"


def test_datasets_that_are_there_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEMO_DATASETS", ())
    make_datasets(Workspace(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_demo_goes_through_all_stages_and_again_without_repeating_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_edits: tuple[str, ...]
) -> None:
    small = (
        PhantomDataset("Phantom_Pool", "pretrain", ("liver", "aorta"), 2),
        PhantomDataset("Phantom_Abdomen", "target", ("spleen", "liver"), 5),
    )
    edits = [
        edit for edit in tiny_edits if not edit.startswith(("experiment", "pretrain.iter", "finetune.iter"))
    ]
    written: list[int] = []

    def write(raw_data: Path, progress: object) -> None:
        written.append(1)
        module_write(raw_data, small, spacing_mm=(12.0, 12.0, 13.0))

    module_write = module.write_phantom_datasets
    monkeypatch.setattr(module, "DEMO_DATASETS", small)
    monkeypatch.setattr(module, "write_phantom_datasets", write)
    monkeypatch.setattr(module, "SPACING_MM", (12.0, 12.0, 13.0))
    monkeypatch.setattr(module, "EDITS", (*module.EDITS, *edits))
    monkeypatch.setattr(module, "TRIAL_STEPS", 2)
    monkeypatch.setattr(module, "FEWEST_STEPS", 2)
    monkeypatch.setattr(module, "MOST_STEPS", 3)
    said: list[str] = []
    done = module.demo(tmp_path, minutes=0.01, say=said.append)
    assert done.page.is_file()
    assert sum("mean Dice" in line for line in said) == 6
    plan = read_plan(Workspace(tmp_path).plan("plan"))
    assert 2 <= (plan.pretrain.iterations or 0) <= 3
    assert not Workspace(tmp_path).plan_results("trial").exists()
    assert {path.stem for path in Workspace(tmp_path).probes("plan")} == {"untrained", "mixcl"}
    assert "other random weights minus random weights" in done.findings.read_text()

    monkeypatch.setattr(module, "measure_steps", None)
    again: list[str] = []
    module.demo(tmp_path, minutes=0.01, say=again.append)
    assert again == [line for line in said if not line.startswith("Checking")]
    assert len(written) == 1
