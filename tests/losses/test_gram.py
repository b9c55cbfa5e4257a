import pytest
import torch
from torch import Tensor

from mixcl_auto.losses import voxels
from mixcl_auto.losses.gram import joint_gram
from mixcl_auto.losses.identity_consistency import (
    Views,
    cross_correlation,
    identity_terms,
)


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture(params=[7, 2**19], ids=["several blocks", "one block"])
def block_elements(request, monkeypatch) -> int:
    monkeypatch.setattr(voxels, "_BLOCK_ELEMENTS_CPU", request.param)
    return int(request.param)


def test_gram_equals_a_literal_loop(block_elements):
    rows, rows_prime = draw(10, 2), draw(10, 2, seed=1)
    mean, mean_prime = draw(2, seed=2), draw(2, seed=3)
    expected = torch.zeros(4, 4, dtype=torch.float64)
    for m in range(10):
        x = [*(rows[m] - mean).tolist(), *(rows_prime[m] - mean_prime).tolist()]
        for i in range(4):
            for j in range(4):
                expected[i, j] += x[i] * x[j]
    torch.testing.assert_close(joint_gram(rows, rows_prime, mean, mean_prime), expected)


def test_gradient_equals_finite_differences(block_elements):
    rows, rows_prime = draw(5, 2).requires_grad_(), draw(5, 2, seed=1).requires_grad_()
    mean, mean_prime = draw(2, seed=2), draw(2, seed=3)
    assert torch.autograd.gradcheck(lambda a, b: joint_gram(a, b, mean, mean_prime), (rows, rows_prime))


def test_grams_of_two_halves_add_up():
    rows, rows_prime, mean = draw(30, 3), draw(30, 3, seed=1), draw(3, seed=2)
    parts = [joint_gram(rows[part], rows_prime[part], mean, mean) for part in (slice(11), slice(11, None))]
    torch.testing.assert_close(parts[0] + parts[1], joint_gram(rows, rows_prime, mean, mean))


def test_memory_layout_does_not_matter(block_elements):
    rows, rows_prime, mean = draw(30, 3), draw(30, 3, seed=1), draw(3, seed=2)
    transposed = rows.T.contiguous().T, rows_prime.T.contiguous().T
    torch.testing.assert_close(joint_gram(*transposed, mean, mean), joint_gram(rows, rows_prime, mean, mean))


@pytest.mark.parametrize("center", [True, False])
def test_projected_correlation_equals_that_of_the_embeddings(center, block_elements):
    features, features_prime = draw(50, 4) + 0.5, draw(50, 4, seed=1) - 0.2
    head = draw(9, 4, seed=2)
    torch.testing.assert_close(
        cross_correlation(Views(features, features_prime, head), center=center),
        cross_correlation(Views(features @ head.T, features_prime @ head.T), center=center),
    )


@pytest.mark.parametrize("center", [True, False])
def test_projected_gradient_equals_that_of_the_embeddings(center):
    features, features_prime = draw(20, 3).requires_grad_(), (draw(20, 3, seed=1) + 1).requires_grad_()
    head = draw(5, 3, seed=2).requires_grad_()
    inputs = features, features_prime, head
    projected = identity_terms(cross_correlation(Views(*inputs), center=center)).loss
    dense = identity_terms(
        cross_correlation(Views(features @ head.T, features_prime @ head.T), center=center)
    ).loss
    for got, expected in zip(
        torch.autograd.grad(projected, inputs), torch.autograd.grad(dense, inputs), strict=True
    ):
        torch.testing.assert_close(got, expected)
    assert torch.autograd.gradcheck(
        lambda a, b, w: identity_terms(cross_correlation(Views(a, b, w), center=center)).loss, inputs
    )


def test_half_precision_features_equal_the_float64_result():
    features = draw(5000, 8, dtype=torch.float32).bfloat16()
    features_prime = (features.float() + 0.05 * draw(5000, 8, seed=1, dtype=torch.float32)).bfloat16()
    head = draw(16, 8, seed=2, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        got = cross_correlation(Views(features, features_prime, head))
    wide = features.double() @ head.double().T, features_prime.double() @ head.double().T
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), cross_correlation(Views(*wide)), rtol=0, atol=2e-6)


def test_neither_pass_is_rounded_to_half_under_autocast():
    rows = draw(500, 4, dtype=torch.float32).requires_grad_()
    rows_prime, mean = draw(500, 4, seed=1, dtype=torch.float32), torch.zeros(4)

    def gram_and_gradient() -> tuple[Tensor, Tensor]:
        result = joint_gram(rows, rows_prime, mean, mean)
        return result, torch.autograd.grad(result.square().sum(), rows)[0]

    plain = gram_and_gradient()
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(gram_and_gradient(), plain)


def test_constant_features_and_a_cancelling_head_give_finite_gradients():
    features = draw(400, 3, dtype=torch.float32)
    features[:, 1] = 0.1
    features[:, 2] = features[:, 0]
    features.requires_grad_()
    # channel 0 is constant, channel 1 cancels to nothing, channel 2 varies
    head = torch.tensor([[0.0, 3.0, 0.0], [1.0, 0.0, -1.0], [1.0, 1.0, 0.0]], requires_grad=True)
    correlation = cross_correlation(Views(features, features.detach().flip(0), head))
    gradients = torch.autograd.grad(identity_terms(correlation).loss, (features, head))
    assert not correlation[:2].any()
    assert correlation[2, 2] != 0
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_a_head_of_another_width_is_refused():
    with pytest.raises(ValueError, match=r"head must be \(C, 3\), got \(4, 2\)"):
        cross_correlation(Views(draw(5, 3), draw(5, 3), draw(4, 2)))
