import pytest
import torch
from torch.nn import Parameter

from mixcl_auto.pretraining.gradient_shares import gradient_shares


def test_shares_worked_by_hand() -> None:
    first, second = Parameter(torch.tensor([1.0, 2.0])), Parameter(torch.tensor([3.0]))
    terms = {
        "a": (3 * first).sum() + 0 * second.sum(),  # gradient (3, 3, 0)
        "b": second.square().sum() / 2,  # gradient (3)
    }
    shares = gradient_shares(terms, [first, second])
    root = 18**0.5
    assert shares["a"].item() == pytest.approx(root / (root + 3))
    assert shares["b"].item() == pytest.approx(3 / (root + 3))


def test_common_factor_cancels_out() -> None:
    weight = Parameter(torch.randn(5, generator=torch.Generator().manual_seed(0)))
    plain = gradient_shares({"a": weight.square().sum(), "b": weight.sum()}, [weight])
    scaled = gradient_shares({"a": 64 * weight.square().sum(), "b": 64 * weight.sum()}, [weight])
    assert plain["a"].item() == pytest.approx(scaled["a"].item(), rel=1e-6)


def test_graph_is_kept_for_the_backward_pass_and_no_gradient_is_left() -> None:
    weight = Parameter(torch.tensor([2.0]))
    term = weight.square().sum()
    gradient_shares({"a": term}, [weight])
    assert weight.grad is None
    term.backward()
    assert weight.grad is not None
    assert weight.grad.item() == 4.0


def test_term_without_gradient_has_no_share() -> None:
    weight = Parameter(torch.tensor([2.0]))
    shares = gradient_shares({"a": weight.sum(), "b": 0 * weight.sum()}, [weight, Parameter(torch.ones(1))])
    assert (shares["a"].item(), shares["b"].item()) == (1.0, 0.0)
    assert gradient_shares({"b": 0 * weight.sum()}, [weight])["b"].isnan()
