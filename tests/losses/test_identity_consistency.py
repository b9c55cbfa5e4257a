import math

import pytest
import torch
from torch import Tensor

from mixcl_auto.losses.identity_consistency import (
    Views,
    correlation_from_sums,
    cross_correlation,
    identity_consistency_loss,
    identity_terms,
    view_means,
    view_sums,
)


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def literal_correlation(z: Tensor, z_prime: Tensor, center: bool) -> list[list[float]]:
    """Eq. 5, one product at a time."""
    voxels, channels = z.shape
    a, b = z.tolist(), z_prime.tolist()
    if center:
        for rows in (a, b):
            for i in range(channels):
                mean = sum(row[i] for row in rows) / voxels
                for row in rows:
                    row[i] -= mean
    result = []
    for i in range(channels):
        line = []
        for j in range(channels):
            product = sum(a[m][i] * b[m][j] for m in range(voxels))
            norms = sum(a[m][i] ** 2 for m in range(voxels)), sum(b[m][j] ** 2 for m in range(voxels))
            line.append(product / (math.sqrt(norms[0]) * math.sqrt(norms[1])))
        result.append(line)
    return result


def literal_loss(correlation: list[list[float]], weight: float) -> float:
    """Eq. 4, one element at a time."""
    loss = 0.0
    for i, line in enumerate(correlation):
        for j, value in enumerate(line):
            loss += (1 - value) ** 2 if i == j else weight * value**2
    return loss


@pytest.mark.parametrize("center", [True, False])
def test_correlation_equals_a_literal_loop(center):
    z, z_prime = draw(11, 4) + 0.7, draw(11, 4, seed=1) - 0.3
    expected = torch.tensor(literal_correlation(z, z_prime, center), dtype=torch.float64)
    torch.testing.assert_close(
        cross_correlation(Views(z, z_prime), center=center), expected, rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("center", [True, False])
def test_loss_equals_a_literal_loop(center):
    z, z_prime = draw(9, 3) + 0.2, draw(9, 3, seed=1)
    expected = literal_loss(literal_correlation(z, z_prime, center), 0.03)
    loss = identity_consistency_loss(z, z_prime, off_diagonal_weight=0.03, center=center)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_loss_equals_a_hand_worked_number():
    z = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    z_prime = torch.stack([z[:, 0] + z[:, 1], z[:, 0]], dim=1)
    # C = [[1/sqrt 2, 1], [1/sqrt 2, 0]]: diagonal (1 - 1/sqrt 2)^2 + 1, off the diagonal 1 + 1/2
    expected = (1 - math.sqrt(0.5)) ** 2 + 1 + 0.0051 * 1.5
    assert identity_consistency_loss(z, z_prime).item() == pytest.approx(expected, rel=1e-6)


def test_mean_per_channel_divides_by_the_channels():
    z, z_prime = draw(20, 5), draw(20, 5, seed=1)
    whole = identity_consistency_loss(z, z_prime)
    torch.testing.assert_close(
        identity_consistency_loss(z, z_prime, reduction="mean_per_channel"), whole / 5, rtol=1e-14, atol=0
    )


def test_identical_decorrelated_views_have_no_loss():
    z, _ = torch.linalg.qr(draw(50, 7) - draw(50, 7).mean(0))
    z = z - z.mean(0)
    assert identity_consistency_loss(z, z.clone()).item() == pytest.approx(0, abs=1e-20)


def test_off_diagonal_weight_zero_leaves_the_diagonal():
    z, z_prime = draw(30, 4), draw(30, 4, seed=1)
    terms = identity_terms(cross_correlation(Views(z, z_prime)), off_diagonal_weight=0)
    torch.testing.assert_close(terms.loss / 4, terms.diagonal)
    assert not terms.diagonal.requires_grad


def test_order_of_the_voxels_does_not_matter():
    z, z_prime = draw(40, 6), draw(40, 6, seed=1)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(
        identity_consistency_loss(z, z_prime), identity_consistency_loss(z[order], z_prime[order])
    )


def test_swapping_the_views_transposes_the_correlation():
    z, z_prime = draw(40, 6), draw(40, 6, seed=1)
    torch.testing.assert_close(cross_correlation(Views(z, z_prime)), cross_correlation(Views(z_prime, z)).T)
    torch.testing.assert_close(identity_consistency_loss(z, z_prime), identity_consistency_loss(z_prime, z))


def test_centred_correlation_ignores_each_channels_offset_and_scale():
    z, z_prime = draw(40, 3), draw(40, 3, seed=1)
    moved = z * torch.tensor([2.0, 0.01, 300.0]) + torch.tensor([5.0, -1.0, 40.0])
    torch.testing.assert_close(cross_correlation(Views(moved, z_prime)), cross_correlation(Views(z, z_prime)))
    assert not torch.allclose(
        cross_correlation(Views(moved, z_prime), center=False),
        cross_correlation(Views(z, z_prime), center=False),
    )


def test_correlation_stays_within_one_far_from_zero_in_float32():
    z = draw(5000, 3, dtype=torch.float32) * 1e-2 + 100
    correlation = cross_correlation(Views(z, z.clone()))
    torch.testing.assert_close(correlation.diagonal(), torch.ones(3), rtol=0, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, -1234.567])
@pytest.mark.parametrize("center", [True, False])
def test_a_constant_channel_gives_finite_loss_and_gradient(value, center):
    z, z_prime = draw(333, 3, dtype=torch.float32), draw(333, 3, seed=1, dtype=torch.float32)
    z[:, 1] = value
    z.requires_grad_()
    z_prime.requires_grad_()
    loss = identity_consistency_loss(z, z_prime, center=center)
    gradients = torch.autograd.grad(loss, (z, z_prime))
    assert loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)
    if center or value == 0.0:
        assert not gradients[0][:, 1].any()
        assert not cross_correlation(Views(z, z_prime), center=center)[1].any()
    assert gradients[0][:, 0].any()


def test_views_of_constants_cost_one_per_channel():
    z = torch.full((64, 5), 0.3)
    assert identity_consistency_loss(z, z.clone()).item() == pytest.approx(5)


@pytest.mark.parametrize("center", [True, False])
def test_gradient_equals_finite_differences(center):
    z, z_prime = draw(7, 3).requires_grad_(), (draw(7, 3, seed=1) + 1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda a, b: identity_consistency_loss(a, b, off_diagonal_weight=0.3, center=center), (z, z_prime)
    )


def test_descending_the_loss_makes_the_views_agree():
    z, z_prime = draw(60, 4).requires_grad_(), draw(60, 4, seed=1)
    before = identity_terms(cross_correlation(Views(z, z_prime))).diagonal
    for _ in range(50):
        (gradient,) = torch.autograd.grad(identity_consistency_loss(z, z_prime), z)
        z = (z - gradient).detach().requires_grad_()
    assert identity_terms(cross_correlation(Views(z, z_prime))).diagonal < 0.5 * before


def test_half_precision_under_autocast_equals_the_float32_result():
    z = draw(4096, 8, dtype=torch.float32).bfloat16()
    z_prime = (z.float() + 0.01 * draw(4096, 8, seed=1, dtype=torch.float32)).bfloat16()
    reference = identity_consistency_loss(z.double(), z_prime.double())
    with torch.autocast("cpu", torch.bfloat16):
        loss = identity_consistency_loss(z, z_prime)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(reference.item(), rel=1e-3)


@pytest.mark.parametrize("with_head", [False, True])
def test_sums_over_two_halves_add_up_to_the_whole(with_head):
    whole = Views(draw(30, 4) + 1, draw(30, 4, seed=1), draw(6, 4, seed=2) if with_head else None)
    halves = [
        whole._replace(rows=whole.rows[part], rows_prime=whole.rows_prime[part])
        for part in (slice(15), slice(15, None))
    ]
    means = (view_means(halves[0]) + view_means(halves[1])) / 2
    sums = [a + b for a, b in zip(*(view_sums(half, means) for half in halves), strict=True)]
    correlation = correlation_from_sums(sums, means, 30, whole.head)
    torch.testing.assert_close(correlation, cross_correlation(whole))


@pytest.mark.parametrize(
    ("shape", "shape_prime"), [((4, 2), (4, 3)), ((4, 2), (3, 2)), ((4, 2, 1), (4, 2, 1))]
)
def test_views_of_different_shapes_are_refused(shape, shape_prime):
    with pytest.raises(ValueError, match=r"must be \(M, C\) matrices of the same shape, got"):
        cross_correlation(Views(torch.zeros(shape), torch.zeros(shape_prime)))


def test_no_voxel_is_refused():
    with pytest.raises(ValueError, match="at least one voxel"):
        cross_correlation(Views(torch.zeros(0, 3), torch.zeros(0, 3)))


def test_an_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="'sum' or 'mean_per_channel', got 'mean'"):
        identity_consistency_loss(draw(4, 2), draw(4, 2), reduction="mean")  # type: ignore[arg-type]
