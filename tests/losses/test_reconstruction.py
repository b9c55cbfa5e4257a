import pytest
import torch

from mixcl_auto.losses.reconstruction import reconstruction_loss


def test_mean_and_sum_equal_a_hand_worked_number():
    patch = torch.tensor([0.0, 1.0, 0.5, 0.5]).reshape(1, 1, 2, 2, 1)
    reconstruction = torch.tensor([1.0, 1.0, 0.0, 1.0]).reshape(1, 1, 2, 2, 1)
    # squared errors 1, 0, 0.25, 0.25
    assert reconstruction_loss(reconstruction, patch).item() == pytest.approx(0.375)
    assert reconstruction_loss(reconstruction, patch, reduction="sum").item() == pytest.approx(1.5)


def test_loss_equals_a_literal_loop():
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(2, 1, 3, 4, 2, generator=generator, dtype=torch.float64)
    b = torch.rand(2, 1, 3, 4, 2, generator=generator, dtype=torch.float64)
    total = sum((x - y) ** 2 for x, y in zip(a.flatten().tolist(), b.flatten().tolist(), strict=True))
    assert reconstruction_loss(a, b, reduction="sum").item() == pytest.approx(total, rel=1e-12)
    assert reconstruction_loss(a, b).item() == pytest.approx(total / a.numel(), rel=1e-12)


def test_mean_does_not_depend_on_the_patch_size():
    small, large = torch.full((1, 1, 2, 2, 2), 0.25), torch.full((1, 1, 4, 4, 4), 0.25)
    assert reconstruction_loss(small, torch.zeros_like(small)) == reconstruction_loss(
        large, torch.zeros_like(large)
    )


def test_a_perfect_reconstruction_has_no_loss_and_no_gradient():
    patch = torch.rand(1, 1, 3, 3, 3)
    reconstruction = patch.clone().requires_grad_()
    loss = reconstruction_loss(reconstruction, patch)
    loss.backward()
    assert loss.item() == 0
    assert reconstruction.grad is not None
    assert not reconstruction.grad.any()


def test_half_precision_under_autocast_is_computed_in_float32():
    reconstruction = (torch.rand(1, 1, 8, 8, 8) * 1e-3).bfloat16()
    patch = torch.rand(1, 1, 8, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        loss = reconstruction_loss(reconstruction, patch)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, (reconstruction.float() - patch).square().mean(), rtol=1e-6, atol=0)


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"same shape, got \(1, 1, 2, 2, 2\) and \(1, 2, 2, 2\)"):
        reconstruction_loss(torch.zeros(1, 1, 2, 2, 2), torch.zeros(1, 2, 2, 2))


def test_an_unknown_reduction_is_refused():
    patch = torch.zeros(1, 1, 2, 2, 2)
    with pytest.raises(ValueError, match="'mean' or 'sum', got 'none'"):
        reconstruction_loss(patch, patch, reduction="none")  # type: ignore[arg-type]
