import math

import pytest
import torch

from mixcl_auto.networks.backbone import Backbone
from mixcl_auto.networks.bias import set_output_bias
from mixcl_auto.networks.build import build_backbone
from mixcl_auto.networks.initialise import initialise
from mixcl_auto.networks.mixcl import MixCLNetwork
from mixcl_auto.networks.transfer import load_encoder


def build(out_channels: int = 3) -> Backbone:
    return build_backbone(
        "unetr",
        in_channels=1,
        out_channels=out_channels,
        patch_size=(32, 32, 32),
        feature_size=4,
        hidden_size=48,
        mlp_size=96,
        heads=4,
        layers=4,
    )


def test_a_seed_determines_all_weights():
    torch.manual_seed(1)
    first = initialise(build, 5).state_dict()
    torch.manual_seed(2)
    again, other = initialise(build, 5).state_dict(), initialise(build, 6).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["out.conv.conv.weight"], other["out.conv.conv.weight"])


def test_initialising_leaves_the_global_generator_as_it_was():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    initialise(build, 5)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_builder_that_fails_leaves_the_global_generator_as_it_was():
    def fail() -> Backbone:
        raise RuntimeError("no")

    before = torch.random.get_rng_state()
    with pytest.raises(RuntimeError, match="no"):
        initialise(fail, 5)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_scratch_and_pretrained_arms_differ_in_the_encoder_only():
    pretraining = initialise(lambda: MixCLNetwork(build(out_channels=1)), 1)
    scratch, pretrained = initialise(build, 0), initialise(build, 0)
    load_encoder(pretrained, pretraining.backbone.encoder_state_dict())
    source = pretraining.backbone.encoder_state_dict()
    differing = 0
    for name, tensor in pretrained.state_dict().items():
        if scratch.is_encoder_key(name):
            assert torch.equal(tensor, source[name]), name
            differing += not torch.equal(tensor, scratch.state_dict()[name])
        else:
            assert torch.equal(tensor, scratch.state_dict()[name]), name
    assert differing > 20


def test_projectors_do_not_change_the_backbones_initial_weights():
    bare = initialise(lambda: build(1), 4).state_dict()
    with_projectors = initialise(lambda: MixCLNetwork(build(1)), 4).backbone.state_dict()
    assert all(torch.equal(bare[name], with_projectors[name]) for name in bare)


def test_a_network_that_sees_nothing_predicts_the_classes_frequencies():
    network = initialise(build, 0)
    set_output_bias(network, [0.9, 0.08, 0.02])
    torch.testing.assert_close(network.output_bias().softmax(0), torch.tensor([0.9, 0.08, 0.02]))
    assert network.output_bias()[0].item() == pytest.approx(math.log(0.9))


def test_counts_serve_as_frequencies_and_an_absent_class_gets_the_floor():
    network = initialise(build, 0)
    set_output_bias(network, [900, 100, 0], floor=1e-4)
    expected = torch.tensor([math.log(0.9), math.log(0.1), math.log(1e-4)])
    torch.testing.assert_close(network.output_bias().detach(), expected)
    assert network.output_bias().requires_grad


@pytest.mark.parametrize(
    ("frequencies", "message"),
    [
        ([0.5, 0.5], "an entry per output channel, got 2 for 3"),
        ([1.0, -0.1, 0.1], "finite, at least 0 and not all 0"),
        ([0.0, 0.0, 0.0], "not all 0"),
        ([1.0, math.nan, 0.0], "finite"),
    ],
)
def test_frequencies_that_do_not_fit_are_refused(frequencies, message):
    with pytest.raises(ValueError, match=message):
        set_output_bias(initialise(build, 0), frequencies)
