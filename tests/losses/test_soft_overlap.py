import math

import pytest
import torch
from torch import Tensor

from mixcl_auto.losses import voxels
from mixcl_auto.losses.soft_overlap import overlap_sums


@pytest.fixture(params=[10, 2**19], ids=["several blocks", "one block"], autouse=True)
def block_elements(request, monkeypatch) -> None:
    monkeypatch.setattr(voxels, "_BLOCK_ELEMENTS_CPU", request.param)


def draw(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(2, 4, 2, 3, 3, generator=generator, dtype=torch.float64)
    return logits.to(dtype), torch.randint(4, (2, 2, 3, 3), generator=generator, dtype=torch.uint8)


def test_sums_equal_literal_loops():
    logits, labels = draw()
    sums = overlap_sums(logits, labels)
    for b in range(2):
        intersection, predicted, entropy = [0.0] * 4, [0.0] * 4, 0.0
        for x in range(2):
            for y in range(3):
                for z in range(3):
                    exponentials = [math.exp(logits[b, k, x, y, z].item()) for k in range(4)]
                    p = [value / sum(exponentials) for value in exponentials]
                    g = int(labels[b, x, y, z])
                    intersection[g] += p[g]
                    entropy -= math.log(p[g])
                    predicted = [total + value for total, value in zip(predicted, p, strict=True)]
        assert sums.intersection[b].tolist() == pytest.approx(intersection)
        assert sums.predicted[b].tolist() == pytest.approx(predicted)
        assert sums.cross_entropy[b].item() == pytest.approx(entropy)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_gradients_of_all_sums_equal_finite_differences(memory_format):
    logits, labels = draw()
    logits = logits.contiguous(memory_format=memory_format).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: tuple(overlap_sums(x, labels)), logits)


def test_half_precision_logits_give_float32_sums_and_a_gradient_of_their_type():
    logits, labels = draw(torch.bfloat16)
    logits.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        sums = overlap_sums(logits, labels)
    exact = overlap_sums(logits.detach().double(), labels)
    for got, expected in zip(sums, exact, strict=True):
        assert got.dtype == torch.float32
        torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=1e-5)
    (gradient,) = torch.autograd.grad(sums.cross_entropy.sum(), logits)
    assert gradient.dtype == torch.bfloat16


def test_extreme_logits_stay_finite():
    logits = torch.zeros(1, 2, 2, 2, 2)
    logits[:, 1] = 1000.0
    logits.requires_grad_()
    sums = overlap_sums(logits, torch.zeros(1, 2, 2, 2, dtype=torch.uint8))
    assert sums.cross_entropy.item() == pytest.approx(8000)
    (gradient,) = torch.autograd.grad(sum(part.sum() for part in sums), logits)
    assert gradient.isfinite().all()


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(
        ValueError, match=r"logits and labels must be .* got \(2, 4, 2, 3, 3\) and \(2, 3, 3\)"
    ):
        overlap_sums(draw()[0], torch.zeros(2, 3, 3, dtype=torch.uint8))
