import torch
from torch import nn

from mixcl_auto.networks.token_projection import TokenProjection


def test_values_and_gradients_are_those_of_the_convolution():
    convolution = nn.Conv3d(2, 5, (2, 4, 3), stride=(2, 4, 3)).double()
    layer = TokenProjection.of(convolution)
    image = torch.randn(3, 2, 4, 8, 9, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 5, 2, 2, 3, dtype=torch.float64)
    inputs = [image, convolution.weight, convolution.bias]
    results = [
        [output.detach(), *torch.autograd.grad((output * weight).sum(), inputs)]
        for output in (layer(image), convolution(image))
    ]
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected)


def test_weights_are_the_convolutions_own():
    convolution = nn.Conv3d(1, 4, 2, stride=2)
    layer = TokenProjection.of(convolution)
    assert layer.weight is convolution.weight
    assert layer.state_dict().keys() == convolution.state_dict().keys()
