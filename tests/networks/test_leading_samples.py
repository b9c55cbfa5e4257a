import pytest
import torch

from mixcl_auto.networks.leading_samples import leading_samples

LAYOUTS = [torch.contiguous_format, torch.channels_last_3d]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("uses", ["both", "all", "first"])
def test_gradient_is_that_of_a_slice(layout, uses):
    maps = torch.randn(5, 3, 2, 3, 4, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()

    def value(whole: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
        parts = {"all": whole.square().sum(), "first": first.exp().sum()}
        return sum(parts.values()) if uses == "both" else parts[uses]

    results = [
        torch.autograd.grad(value(*pair), maps)[0] for pair in (leading_samples(maps, 2), (maps, maps[:2]))
    ]
    torch.testing.assert_close(*results, rtol=0, atol=0)
    assert torch.autograd.gradcheck(lambda x: value(*leading_samples(x, 2)), maps)


def test_values_are_the_batch_and_its_first_samples():
    maps = torch.randn(4, 2, 3, 3, 3)
    whole, first = leading_samples(maps, 3)
    assert torch.equal(whole, maps)
    assert torch.equal(first, maps[:3])


def test_the_gradients_that_come_in_are_left_as_they_are():
    maps = torch.randn(3, 2, 2, 2, 2, requires_grad=True)
    whole, first = leading_samples(maps, 2)
    given = torch.ones_like(whole), torch.ones_like(first)
    torch.autograd.backward([whole, first], list(given))
    assert all((gradient == 1).all() for gradient in given)
    assert (maps.grad[:2] == 2).all()
    assert (maps.grad[2:] == 1).all()
