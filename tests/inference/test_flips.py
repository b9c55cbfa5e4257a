import itertools

import numpy as np
import pytest
import torch
from torch import nn

from mixcl_auto.errors import PlanError, RunError
from mixcl_auto.inference.flips import FlippedMean, has_side, with_flips
from mixcl_auto.inference.predict import load_predictor
from mixcl_auto.inference.sliding_window import predict_logits
from mixcl_auto.records.plan_edits import edit_plan


def oriented_network():
    """A network that sees a difference between a window and its mirror image."""
    torch.manual_seed(3)
    return nn.Conv3d(1, 3, 3, padding=1).eval().requires_grad_(False)


def literal_mean(network, batch, axes):
    """The mean over all subsets of the axes, one numpy flip at a time."""
    outputs = []
    for chosen in itertools.product((False, True), repeat=len(axes)):
        flipped = batch.numpy()
        dims = [axis for axis, wanted in zip(axes, chosen, strict=True) if wanted]
        for dim in dims:
            flipped = np.flip(flipped, dim)
        output = network(torch.from_numpy(flipped.copy())).double().numpy()
        for dim in dims:
            output = np.flip(output, dim)
        outputs.append(output)
    return np.mean(outputs, axis=0), len(outputs)


@pytest.mark.parametrize(("flips", "axes"), [("x", (2,)), ("yz", (3, 4)), ("xyz", (2, 3, 4))])
def test_the_mean_equals_a_literal_loop_over_all_flips(flips, axes):
    network = oriented_network()
    batch = torch.rand((2, 1, 5, 6, 7))
    expected, passes = literal_mean(network, batch, axes)
    mean = FlippedMean(network, flips)
    assert len(mean.combinations) == passes == 2 ** len(axes)
    np.testing.assert_allclose(mean(batch), expected, atol=1e-6)
    assert not np.allclose(network(batch), expected, atol=1e-2)


def test_an_equivariant_network_gives_the_same_with_and_without_flips():
    image = np.random.default_rng(0).random((37, 20, 41), dtype=np.float32)

    def network(batch):
        return torch.cat([1 - batch, batch], dim=1)

    plain, flipped = (
        predict_logits(
            used,
            image,
            patch_size=(16, 16, 16),
            overlap=0.5,
            windows_per_batch=3,
            device=torch.device("cpu"),
        )
        for used in (network, FlippedMean(network, "xyz"))
    )
    np.testing.assert_allclose(plain, flipped, atol=1e-6)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_the_flipped_mean_of_a_flipped_window_is_the_flipped_mean(axis):
    mean, dim = FlippedMean(oriented_network(), axis), "xyz".index(axis) + 2
    batch = torch.rand((1, 1, 5, 6, 7))
    torch.testing.assert_close(mean(batch.flip(dim)), mean(batch).flip(dim))


def test_outputs_in_half_precision_are_averaged_in_float32():
    mean = FlippedMean(lambda batch: batch.bfloat16(), "xy")
    batch = torch.full((1, 1, 2, 2, 2), 0.3)
    assert mean(batch).dtype == torch.float32
    torch.testing.assert_close(mean(batch), batch.bfloat16().float())


def test_a_plan_gets_the_flips_asked_for_and_keeps_its_own_without(plan):
    assert with_flips(plan, "Target", None) == plan
    assert with_flips(plan, "Target", "yz").inference.flips == "yz"
    own = with_flips(plan, "Target", "xz")
    assert with_flips(own, "Target", None).inference.flips == "xz"
    assert with_flips(own, "Target", "").inference.flips == ""


@pytest.mark.parametrize("flips", ["zx", "xx", "w", "none"])
def test_flips_that_are_no_ordered_axes_are_refused(plan, flips):
    with pytest.raises(PlanError, match=r"inference\.flips"):
        with_flips(plan, "Target", flips)


def test_flips_are_refused_for_a_model_that_never_saw_any(plan):
    section = plan.finetune.model_copy(update={"flip_probability": 0.0})
    unflipped = plan.model_copy(update={"finetune": section})
    with pytest.raises(RunError, match="fine-tuned without flips"):
        with_flips(unflipped, "Target", "z")
    assert with_flips(unflipped, "Target", "") == unflipped


def test_a_plan_can_not_flip_at_prediction_what_it_never_flips_in_training(plan):
    with pytest.raises(PlanError, match=r"set finetune\.flip_probability above 0, or inference\.flips to"):
        edit_plan(plan, ["inference.flips=z", "finetune.flip_probability=0"])
    assert edit_plan(plan, ["inference.flips=z"]).inference.flips == "z"


@pytest.mark.parametrize(("flips", "remedy"), [("x", "predict without it"), ("xyz", "use flips along yz")])
def test_left_and_right_organs_are_not_flipped_into_each_other(plan, flips, remedy):
    dataset = plan.datasets[0].model_copy(update={"labels": {"liver": 1, "Parotid_L": 2}})
    sided = plan.model_copy(update={"datasets": (dataset,)})
    with pytest.raises(RunError, match=f"left of right, and Target has Parotid_L; {remedy}"):
        with_flips(sided, "Target", flips)
    assert with_flips(sided, "Target", "yz").inference.flips == "yz"


@pytest.mark.parametrize(
    ("name", "sided"),
    [
        ("kidney right", True),
        ("Parotid_L", True),
        ("leftLung", True),
        ("liver", False),
        ("gallbladder", False),
        ("bright spot", False),
    ],
)
def test_a_side_is_told_from_the_name(name, sided):
    assert has_side(name) is sided


def test_a_loaded_model_sees_every_window_once_per_flip(threshold_run):
    image = np.full((16, 16, 16), 100, np.int16)
    calls = []
    for flips in (None, "yz"):
        predictor = load_predictor(threshold_run.folder, "cpu", flips)
        predictor.predict_resampled(image)
        calls.append(predictor.network.calls)
    assert calls == [1, 4]
