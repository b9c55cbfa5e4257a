import logging

import pytest
import torch

from mixcl_auto.networks.build import build_backbone
from mixcl_auto.networks.mixcl import MixCLNetwork
from mixcl_auto.training.compilation import compile_network

CPU = torch.device("cpu")


def build(channels: int = 2) -> MixCLNetwork:
    torch.manual_seed(0)
    backbone = build_backbone(
        "unetr",
        in_channels=1,
        out_channels=1,
        patch_size=(32, 32, 32),
        feature_size=channels,
        hidden_size=12,
        mlp_size=12,
        heads=2,
        layers=4,
    )
    return MixCLNetwork(backbone)


def run(network: MixCLNetwork) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    torch.manual_seed(1)
    output = network(*network.noise(2))
    loss = sum(part.square().mean() for part in output.reconstructions)
    loss = loss + sum(part.features.square().mean() for part in output.embeddings_1[:2])
    torch.autograd.backward(loss)
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    network.zero_grad(set_to_none=True)
    return loss.detach(), gradients


def test_noise_is_what_forward_takes():
    network = build()
    assert [tuple(view.shape) for view in network.noise(2)] == [(2, 1, 32, 32, 32)] * 3
    assert [tuple(image.shape) for image in network.backbone.noise(5)] == [(5, 1, 32, 32, 32)]


def test_what_cannot_be_compiled_runs_as_before_and_says_why(monkeypatch, caplog):
    network = build()
    before, names = run(network), list(network.state_dict())

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no C++ compiler was found,\nnot even a small one")

    monkeypatch.setattr(torch, "compile", lambda function, **_: fail)
    with caplog.at_level(logging.INFO):
        assert not compile_network(network, batch_size=1, threads=1, device=CPU, precision="fp32")
    assert (
        "torch.compile failed (RuntimeError: no C++ compiler was found, not even a small one)" in caplog.text
    )
    assert "the run goes on without it" in caplog.text
    after = run(network)
    assert torch.equal(before[0], after[0])
    assert all(torch.equal(before[1][name], after[1][name]) for name in before[1])
    assert list(network.state_dict()) == names


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_compiled_passes_give_the_same_gradients_under_the_same_names():
    network = build()
    before, names = run(network), list(network.state_dict())
    # Not inductor, whose C++ takes minutes: this tests that the network can be traced and is left as it was.
    network_compile = network.compile
    network.compile = lambda: network_compile(backend="aot_eager")
    assert compile_network(network, batch_size=2, threads=1, device=CPU, precision="fp32")
    assert all(parameter.grad is None for parameter in network.parameters())
    after = run(network)
    torch.testing.assert_close(after[0], before[0])
    for name, gradient in before[1].items():
        torch.testing.assert_close(after[1][name], gradient, rtol=1e-3, atol=1e-5, msg=name)
    assert list(network.state_dict()) == names
