"""Runs that explode, and their last step taken again from the file that they leave."""

import math

import pytest
import torch
from cached_phantoms import TARGET, edited, make_workspace
from click.testing import CliRunner

from mixcl_auto.cli.main import cli
from mixcl_auto.errors import RunError, WeightsError
from mixcl_auto.finetuning.finetune import finetune
from mixcl_auto.io.checkpoints import read_state, write_state
from mixcl_auto.pretraining.pretrain import pretrain
from mixcl_auto.workflows.repeat_step import repeat_step


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    return make_workspace(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def exploded(cached):
    """The file of a pre-training's failed step, and what was said of it."""
    workspace, plan = cached
    plan = edited(plan, "pretrain", learning_rate=1e30, iterations=20)
    with pytest.raises(RunError, match="non_finite_step") as caught:
        pretrain(workspace, plan, "plan", name="explosive", device="cpu")
    return workspace.pretrain("plan", "explosive").failed_step, str(caught.value)


def test_the_step_gives_the_same_terms_again(exploded):
    path, message = exploded
    found = repeat_step(path, device="cpu")
    assert f"step {found.failed.step} is not finite" in message
    assert all(case in message for case in found.failed.batch.cases)
    assert (found.odd_inputs, found.odd_weights) == ({}, ())
    first, *_ = found.repetitions
    assert first.precision == found.failed.precision
    logged = dict(part.rsplit(" ", 1) for part in found.failed.terms.split(", "))
    for name, value in first.terms.items():
        assert float(logged[name]) == pytest.approx(value, rel=1e-5) or math.isnan(value)
    assert first.odd_gradients or not all(math.isfinite(value) for value in first.terms.values())


def test_the_command_shows_it(exploded):
    path, _ = exploded
    shown = CliRunner().invoke(cli, ["doctor", "--step", str(path), "--device", "cpu"])
    assert shown.exit_code == 0, shown.output
    assert "of a pretrain run in" in shown.output
    assert "Cases of the batch: " in shown.output
    assert "Gradients that are not finite in fp32: " in shown.output


def test_a_batch_that_is_not_finite_is_named_with_its_cases(exploded, tmp_path):
    document = read_state(exploded[0])
    document["tensors"]["view_2"][1, 0, 2, 3, 4] = torch.nan
    write_state(tmp_path / "step.pt", document)
    found = repeat_step(tmp_path / "step.pt", device="cpu")
    cases = document["cases"]
    per_sample = len(cases) // len(document["tensors"]["view_2"])
    assert found.odd_inputs == {"view_2": tuple(cases[per_sample : 2 * per_sample])}
    assert not all(math.isfinite(value) for value in found.repetitions[-1].terms.values())


def test_other_files_are_refused(exploded, tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        repeat_step(tmp_path / "gone.pt")
    write_state(tmp_path / "other.pt", {"step": 1})
    with pytest.raises(WeightsError, match="not the file of a failed step"):
        repeat_step(tmp_path / "other.pt")
    document = read_state(exploded[0])
    del document["tensors"]
    write_state(tmp_path / "part.pt", document)
    with pytest.raises(WeightsError, match="not all of a failed step is there"):
        repeat_step(tmp_path / "part.pt")
    document = read_state(exploded[0])
    document["network"].popitem()
    write_state(tmp_path / "misfit.pt", document)
    with pytest.raises(
        WeightsError, match=r"the step can't be repeated \(RuntimeError: Error\(s\) in loading"
    ):
        repeat_step(tmp_path / "misfit.pt", device="cpu")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("tensors", {"view_1": torch.zeros(1)}, "can't be repeated"),
        ("numbers", {}, "can't be repeated .KeyError"),
        ("cases", [1, 2], "its words can't be printed"),
        ("terms", "loss \x1b[2J", "its words can't be printed"),
        ("section", "predict", "there is no section"),
    ],
)
def test_files_from_others_are_data(exploded, tmp_path, field, value, message):
    write_state(tmp_path / "step.pt", read_state(exploded[0]) | {field: value})
    with pytest.raises(WeightsError, match=message):
        repeat_step(tmp_path / "step.pt", device="cpu")


def test_a_fine_tuning_leaves_the_same(cached):
    workspace, plan = cached
    plan = edited(plan, "finetune", learning_rate=1e30, iterations=20)
    with pytest.raises(RunError, match="non_finite_step"):
        finetune(workspace, plan, "plan", dataset=TARGET, fold=0, fraction=1.0, init="scratch", device="cpu")
    path = workspace.finetune("plan", TARGET, "scratch", 1.0, 0, plan.finetune.seed).failed_step
    found = repeat_step(path, device="cpu")
    assert (found.failed.section, found.failed.dataset) == ("finetune", TARGET)
    assert set(found.repetitions[0].terms) == {"loss", "dice_loss", "cross_entropy"}
