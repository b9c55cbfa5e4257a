import pytest
import torch

from mixcl_auto.networks.projector import PointwiseConvolution, Projector


def test_layers_are_c_c_2c_without_bias_and_with_affine_norms():
    shapes = {name: tuple(parameter.shape) for name, parameter in Projector(5).named_parameters()}
    assert shapes == {
        "trunk.0.weight": (5, 5, 1, 1, 1),
        "trunk.1.weight": (5,),
        "trunk.1.bias": (5,),
        "trunk.3.weight": (5, 5, 1, 1, 1),
        "trunk.4.weight": (5,),
        "trunk.4.bias": (5,),
        "head.weight": (10, 5, 1, 1, 1),
    }


def test_projection_equals_matrices_norms_and_rectifiers_by_hand():
    projector = Projector(3).double()
    for parameter in projector.parameters():
        torch.nn.init.normal_(parameter)
    level_map = torch.randn(2, 3, 2, 3, 4, dtype=torch.float64)
    x = level_map.flatten(2)
    for first in (0, 3):
        convolution, norm = projector.trunk[first], projector.trunk[first + 1]
        x = convolution.weight.flatten(1) @ x
        variance, mean = torch.var_mean(x, dim=2, correction=0, keepdim=True)
        x = (x - mean) / (variance + 1e-5).sqrt() * norm.weight[:, None] + norm.bias[:, None]
        x = x.clamp(min=0)
    expected = (projector.head.matrix() @ x).reshape(2, 6, 2, 3, 4)
    torch.testing.assert_close(projector(level_map), expected)


def test_views_in_one_batch_are_projected_as_they_are_alone():
    projector = Projector(4)
    views = torch.randn(3, 4, 5, 5, 5)
    alone = torch.cat([projector(view[None]) for view in views])
    torch.testing.assert_close(projector(views), alone, rtol=1e-4, atol=1e-6)


def test_gradients_reach_the_map_and_all_layers():
    projector = Projector(4)
    level_map = torch.randn(1, 4, 4, 4, 4, requires_grad=True)
    (projector(level_map) * torch.randn(1, 8, 4, 4, 4)).sum().backward()
    assert level_map.grad is not None
    assert level_map.grad.any()
    for name, parameter in projector.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("weights_format", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("map_format", [torch.contiguous_format, torch.channels_last_3d])
def test_a_map_keeps_its_layout_whatever_that_of_the_weights(weights_format, map_format):
    convolution = PointwiseConvolution(4, 6).to(memory_format=weights_format)
    level_map = torch.randn(2, 4, 3, 3, 3).contiguous(memory_format=map_format)
    result = convolution(level_map)
    assert result.is_contiguous(memory_format=map_format)
    expected = torch.einsum("bcxyz,dc->bdxyz", level_map, convolution.matrix())
    torch.testing.assert_close(result, expected)
