import importlib

import pytest
import torch
from monai.networks import nets

from mixcl_auto.errors import WeightsError
from mixcl_auto.exporting.monai_network import (
    monai_network,
    unetr_arguments,
    unetr_class,
    vit_arguments,
)
from mixcl_auto.networks.backbone import Backbone
from mixcl_auto.networks.initialise import initialise
from mixcl_auto.records.plan import NetworkPlan
from mixcl_auto.training.networks import build_network


def network_plan(layers: int) -> NetworkPlan:
    return NetworkPlan(
        patch_size=(32, 16, 48), feature_size=4, hidden_size=24, mlp_size=48, heads=2, layers=layers
    )


def ours(layers: int) -> Backbone:
    return initialise(lambda: build_network(network_plan(layers), out_channels=3), 0).eval()


def window() -> torch.Tensor:
    return torch.rand(2, 1, 32, 16, 48, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("layers", [4, 8, 12])
def test_logits_are_those_of_our_network(layers: int) -> None:
    network = ours(layers)
    theirs = monai_network(network_plan(layers), 3, network.state_dict())
    assert not theirs.training
    with torch.no_grad():
        torch.testing.assert_close(theirs(window()), network(window()), rtol=0, atol=1e-5)


def test_twelve_layers_are_monais_own_class() -> None:
    plan = network_plan(12)
    assert unetr_class(plan) == "monai.networks.nets.UNETR"
    assert type(monai_network(plan, 3, ours(12).state_dict())) is nets.UNETR
    nets.UNETR(**unetr_arguments(plan, 3)).load_state_dict(ours(12).state_dict(), strict=True)


@pytest.mark.parametrize("layers", [4, 12])
def test_named_class_takes_the_named_arguments(layers: int) -> None:
    plan = network_plan(layers)
    module, _, name = unetr_class(plan).rpartition(".")
    network = getattr(importlib.import_module(module), name)(**unetr_arguments(plan, 3))
    network.load_state_dict(ours(layers).state_dict(), strict=True)


@pytest.mark.parametrize("layers", [4, 12])
def test_vit_of_monai_gives_our_tokens(layers: int) -> None:
    network, vit = ours(layers), nets.ViT(**vit_arguments(network_plan(layers))).eval()
    state = network.state_dict()
    vit.load_state_dict({n[4:]: tensor for n, tensor in state.items() if n.startswith("vit.")}, strict=True)
    with torch.no_grad():
        tokens = vit(window())[0]
        expected = network.encode(window())[4].flatten(2).transpose(1, 2)
    torch.testing.assert_close(tokens, expected, rtol=0, atol=1e-5)


def test_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(WeightsError, match=r"do not fit MONAI's UNETR .*restore the run's files"):
        monai_network(network_plan(8), 3, ours(4).state_dict())
