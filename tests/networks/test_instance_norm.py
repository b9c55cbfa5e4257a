import pytest
import torch
from torch import Tensor, nn

from mixcl_auto.networks.instance_norm import InstanceNorm, replace_instance_norms

LAYOUTS = [torch.contiguous_format, torch.channels_last_3d]


def draw(*shape: int, layout: torch.memory_format, dtype: torch.dtype = torch.float64) -> Tensor:
    maps = torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3 + 1
    return maps.to(dtype).contiguous(memory_format=layout)


def twins(channels: int, *, affine: bool) -> tuple[InstanceNorm, nn.InstanceNorm3d]:
    ours = InstanceNorm(channels if affine else None).double()
    theirs = nn.InstanceNorm3d(channels, affine=affine).double()
    for parameter, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        nn.init.normal_(parameter)
        other.data.copy_(parameter.data)
    return ours, theirs


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_by_hand(layout):
    maps = draw(2, 3, 2, 3, 4, layout=layout)
    normalised = InstanceNorm()(maps)
    for b in range(2):
        for c in range(3):
            voxels = maps[b, c].flatten().tolist()
            mean = sum(voxels) / len(voxels)
            variance = sum((value - mean) ** 2 for value in voxels) / len(voxels)
            expected = [(value - mean) / (variance + 1e-5) ** 0.5 for value in voxels]
            torch.testing.assert_close(normalised[b, c].flatten(), maps.new_tensor(expected))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("affine", [False, True])
def test_values_and_gradients_are_pytorchs(layout, affine):
    ours, theirs = twins(5, affine=affine)
    maps, weight = (
        draw(3, 5, 4, 3, 2, layout=layout),
        draw(3, 5, 4, 3, 2, layout=torch.contiguous_format).exp(),
    )
    results = []
    for norm in (ours, theirs):
        source = maps.clone().requires_grad_()
        output = norm(source)
        inputs = [source, *norm.parameters()]
        results.append([output.detach(), *torch.autograd.grad((output * weight).sum(), inputs)])
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradient_equals_finite_differences(layout):
    norm = InstanceNorm(2).double()
    maps = draw(2, 2, 2, 2, 3, layout=layout).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, w, b: torch.func.functional_call(norm, {"weight": w, "bias": b}, x),
        (maps, norm.weight, norm.bias),
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_is_kept_and_the_output_is_no_view(layout):
    normalised = InstanceNorm()(draw(2, 4, 3, 3, 3, layout=layout).requires_grad_())
    assert normalised.is_contiguous(memory_format=layout)
    assert not normalised._is_view()
    normalised.relu_()  # in place, as the network does it
    torch.autograd.backward(normalised.sum())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_statistics_of_half_precision_maps_are_not_rounded(layout):
    maps = draw(1, 2, 16, 16, 16, layout=layout, dtype=torch.bfloat16)
    expected = nn.functional.instance_norm(maps.double())
    torch.testing.assert_close(InstanceNorm()(maps), expected.bfloat16(), rtol=2**-7, atol=1e-6)
    assert (InstanceNorm()(maps).double().mean((2, 3, 4)).abs() < 1e-3).all()


def test_a_constant_channel_becomes_zero_with_a_finite_gradient():
    maps = torch.full((1, 2, 3, 3, 3), 7.0).contiguous(memory_format=torch.channels_last_3d).requires_grad_()
    normalised = InstanceNorm()(maps)
    torch.autograd.backward(normalised.square().sum())
    torch.testing.assert_close(normalised, torch.zeros_like(normalised), rtol=0, atol=1e-3)
    assert maps.grad is not None
    assert maps.grad.isfinite().all()


def test_only_norms_without_parameters_are_replaced():
    affine = nn.InstanceNorm3d(2, affine=True)
    network = nn.Sequential(nn.InstanceNorm3d(2), nn.Sequential(nn.InstanceNorm3d(2), affine), nn.ReLU())
    replace_instance_norms(network)
    assert [type(module).__name__ for module in network.modules()] == [
        "Sequential",
        "InstanceNorm",
        "Sequential",
        "InstanceNorm",
        "InstanceNorm3d",
        "ReLU",
    ]
    assert network[1][1] is affine
