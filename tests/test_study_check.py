import math
from pathlib import Path

import numpy as np
import pytest
import torch
from study_check import (
    Bounds,
    Check,
    Study,
    Trace,
    identity_checks,
    label_check,
    late_mean,
    log_checks,
    probe_check,
    reconstruction_check,
    repeat_checks,
    spread_check,
    study_checks,
    trace,
)

from mixcl_auto.io.checkpoints import save_checkpoint
from mixcl_auto.io.workspace import PretrainFolder
from mixcl_auto.training.curves import read_columns
from mixcl_auto.workflows.pretrain import pretrain

BOUNDS = Bounds()


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def test_late_mean_is_of_the_last_tenth_and_skips_empty_cells() -> None:
    columns = {"x": column(*range(20)), "empty": column(1, math.nan)}
    assert late_mean(columns, "x") == 18.5
    assert late_mean({"x": column(*range(18), math.nan, 7)}, "x") == 7
    assert late_mean({"x": column(3.0, 5.0)}, "x") == 5
    assert math.isnan(late_mean(columns, "empty"))
    assert math.isnan(late_mean(columns, "absent"))


@pytest.mark.parametrize(("label", "is_met"), [(1.6, True), (1.7, False)])
def test_label_loss_is_held_against_chance(label: float, is_met: bool) -> None:
    check = label_check({"label": column(label), "label_chance": column(2.0)}, BOUNDS)
    assert check.value == pytest.approx(label / 2)
    assert check.is_met == is_met


def test_batches_without_a_pair_do_not_lower_the_label_loss() -> None:
    """Their loss is 0 and their chance an empty cell."""
    columns = {
        "label": column(*[0.0] * 18, 0.0, 1.9),
        "label_chance": column(*[2.0] * 18, math.nan, 2.0),
    }
    assert label_check(columns, BOUNDS).value == pytest.approx(0.95)


def test_a_term_that_is_off_fails_its_check() -> None:
    empty = {name: column(math.nan) for name in ("label", "label_chance", "reconstruction")}
    checks = log_checks(empty, BOUNDS, label_level=1)
    assert len(checks) == 6
    assert not any(check.is_met for check in checks)
    assert str(checks[0]) == "FAILED label loss over chance: nan (<= 0.8)"


def test_identity_is_checked_at_the_three_finest_levels() -> None:
    columns = {f"identity_diagonal_level_{n}": column(value) for n, value in enumerate((0.05, 0.1, 0.2, 9))}
    checks = identity_checks(columns, BOUNDS)
    assert [check.is_met for check in checks] == [True, False, False]
    assert str(checks[0]) == "ok identity's diagonal, level 0: 0.05 (< 0.1)"


def test_reconstruction_error_must_be_below_two_hundredths() -> None:
    assert reconstruction_check({"reconstruction": column(0.019)}, BOUNDS).is_met
    assert not reconstruction_check({"reconstruction": column(0.02)}, BOUNDS).is_met


def test_spread_is_the_last_that_was_measured() -> None:
    columns = {"channel_spread_level_1": column(0.9, math.nan, 0.1, math.nan)}
    assert spread_check(columns, BOUNDS, 1).value == 0.1
    assert not spread_check(columns, BOUNDS, 1).is_met
    assert math.isnan(spread_check(columns, BOUNDS, 2).value)


def test_probe_must_gain_on_the_untrained_network() -> None:
    assert probe_check(0.5, 0.3, BOUNDS).is_met
    assert not probe_check(0.4, 0.3, BOUNDS).is_met
    assert not probe_check(None, 0.3, BOUNDS).is_met


def test_another_log_or_other_weights_fail_the_repetition() -> None:
    first = Trace("a", "b")
    assert [check.is_met for check in repeat_checks(first, Trace("a", "b"))] == [True, True]
    assert [check.is_met for check in repeat_checks(first, Trace("x", "b"))] == [False, True]
    assert [check.is_met for check in repeat_checks(first, Trace("a", "x"))] == [True, False]


def stopped_run(folder: Path, log: str, weight: float) -> PretrainFolder:
    run = PretrainFolder(folder)
    save_checkpoint(run.checkpoint, {"network": {"a": torch.tensor([weight]), "b": torch.zeros(2)}})
    run.log.write_text(log)
    return run


def test_the_trace_tells_logs_and_weights_apart(tmp_path: Path) -> None:
    first = trace(stopped_run(tmp_path / "first", "step\n1\n", 0.5))
    assert trace(stopped_run(tmp_path / "same", "step\n1\n", 0.5)) == first
    longer = trace(stopped_run(tmp_path / "longer", "step\n1\n2\n", 0.5))
    assert (longer.log != first.log, longer.weights) == (True, first.weights)
    other = trace(stopped_run(tmp_path / "other", "step\n1\n", 0.500001))
    assert (other.log, other.weights != first.weights) == (first.log, True)
    finished = stopped_run(tmp_path / "finished", "step\n1\n", 0.5)
    finished.encoder.write_bytes(b"weights and what they say of themselves")
    assert trace(finished).weights not in (first.weights, other.weights)


PHANTOM_BOUNDS = Bounds(label_over_chance=0.6, reconstruction=0.1, probe_gain=-1.0)
"""Grey values alone tell the phantoms' organs apart: without the label term the loss falls too, but stays
above 0.75 of chance. With seeds 0 to 3 it ended at 0.31 to 0.41, and at 0.79 to 0.86 without the term; after
60 steps the seeds were still at 0.42 to 1.03. The probe of one held-out phantom is too noisy to judge."""


@pytest.fixture(scope="module")
def study(phantom_raw_data: Path, tiny_edits: tuple[str, ...]) -> Study:
    """A few steps of a small network at a high rate."""
    return Study(
        raw_data=phantom_raw_data,
        pool=("Pool_Liver", "Pool_Kidneys"),
        target="Target_Abdomen",
        spacing=(12.0, 12.0, 13.0),
        edits=(
            *tiny_edits,
            "pretrain.iterations=150",
            "pretrain.warmup_iterations=5",
            "pretrain.learning_rate=0.004",
            "pretrain.gradient_every=10",
            "pretrain.seed=1",
        ),
        bounds=PHANTOM_BOUNDS,
        repeat_steps=4,
    )


Done = tuple[Path, list[Check]]


@pytest.fixture(scope="module")
def done(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The whole script, once."""
    folder = tmp_path_factory.mktemp("study")
    return folder, study_checks(study, folder)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_small_study_on_phantoms_meets_every_check(done: Done) -> None:
    _, checks = done
    assert [str(check) for check in checks if not check.is_met] == []
    assert len(checks) == len({check.name for check in checks}) == 9


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_without_its_weight_the_label_loss_misses_its_bound(done: Done) -> None:
    workspace, _ = done
    edits = ("pretrain.label_weight=0", "pretrain.gradient_every=0")
    folder = pretrain(workspace, plan="study.json", name="unweighted", edits=edits)
    check = label_check(read_columns(folder.log), PHANTOM_BOUNDS)
    assert check.value > 0.75
    assert not check.is_met
