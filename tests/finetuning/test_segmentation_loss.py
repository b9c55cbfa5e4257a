import math

import numpy as np
import pytest
import torch
from monai.losses.dice import DiceCELoss
from torch import Tensor

from mixcl_auto.finetuning.segmentation_loss import SegmentationLoss

SMOOTH = 1e-5


def literal_loss(
    logits: np.ndarray, labels: np.ndarray, over_batch: bool, include_background: bool
) -> tuple[float, float]:
    """Dice and cross-entropy by loops over samples, classes and voxels, in float64."""
    samples, classes = logits.shape[:2]
    flat_logits, flat_labels = logits.reshape(samples, classes, -1), labels.reshape(samples, -1)
    probabilities = np.empty_like(flat_logits)
    entropies = []
    for b in range(samples):
        for v in range(flat_labels.shape[1]):
            exponentials = [math.exp(flat_logits[b, k, v]) for k in range(classes)]
            for k in range(classes):
                probabilities[b, k, v] = exponentials[k] / sum(exponentials)
            entropies.append(-math.log(probabilities[b, flat_labels[b, v], v]))
    dices = []
    groups = [range(samples)] if over_batch else [[b] for b in range(samples)]
    for group in groups:
        for k in range(0 if include_background else 1, classes):
            overlap = sum(
                probabilities[b, k, v]
                for b in group
                for v in range(flat_labels.shape[1])
                if flat_labels[b, v] == k
            )
            total = sum(probabilities[b, k].sum() + (flat_labels[b] == k).sum() for b in group)
            dices.append(1 - (2 * overlap + SMOOTH) / (total + SMOOTH))
    return float(np.mean(dices)), float(np.mean(entropies))


def draw(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.standard_normal((2, 3, 2, 3, 2)), generator.integers(0, 3, (2, 2, 3, 2)).astype(np.uint8)


@pytest.mark.parametrize("over_batch", [True, False])
@pytest.mark.parametrize("include_background", [True, False])
def test_loss_equals_literal_loops(over_batch: bool, include_background: bool) -> None:
    logits, labels = draw()
    dice, entropy = literal_loss(logits, labels, over_batch, include_background)
    terms = SegmentationLoss(over_batch=over_batch, include_background=include_background)(
        torch.from_numpy(logits), torch.from_numpy(labels)
    )
    assert terms.dice.item() == pytest.approx(dice, rel=1e-6)
    assert terms.cross_entropy.item() == pytest.approx(entropy, rel=1e-6)
    assert terms.loss.item() == pytest.approx(dice + entropy, rel=1e-6)


@pytest.mark.parametrize("over_batch", [True, False])
@pytest.mark.parametrize("include_background", [True, False])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_loss_and_gradient_are_monais(over_batch, include_background, memory_format) -> None:
    logits, labels = (torch.from_numpy(array) for array in draw(1))
    monai = DiceCELoss(
        include_background=include_background, to_onehot_y=True, softmax=True, batch=over_batch
    )
    ours = SegmentationLoss(over_batch=over_batch, include_background=include_background)
    results = []
    for loss_of in (lambda x: ours(x, labels).loss, lambda x: monai(x, labels[:, None].long())):
        source = logits.contiguous(memory_format=memory_format).requires_grad_()
        loss = loss_of(source)
        results.append((loss.detach(), *torch.autograd.grad(loss, source)))
    torch.testing.assert_close(*results)


def test_even_logits_of_two_classes_worked_by_hand() -> None:
    # 8 voxels, 2 of class 1, all probabilities 1/2: Dice of class 1 is 2 * 1 / (4 + 2) = 1/3.
    labels = torch.zeros(1, 2, 2, 2, dtype=torch.uint8)
    labels[0, 0, 0] = 1
    terms = SegmentationLoss(over_batch=True, include_background=False)(torch.zeros(1, 2, 2, 2, 2), labels)
    assert terms.dice.item() == pytest.approx(2 / 3, abs=1e-5)
    assert terms.cross_entropy.item() == pytest.approx(math.log(2), abs=1e-6)


def test_loss_is_float32_under_autocast() -> None:
    logits, labels = (torch.from_numpy(array) for array in draw())
    criterion = SegmentationLoss(over_batch=True, include_background=False)
    expected = criterion(logits.bfloat16().float(), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = criterion(logits.bfloat16(), labels)
    assert terms.loss.dtype == torch.float32
    assert torch.equal(terms.loss, expected.loss)


def gradient(logits: Tensor, labels: Tensor) -> Tensor:
    logits = logits.clone().requires_grad_()
    SegmentationLoss(over_batch=True, include_background=False)(logits, labels).dice.backward()
    assert logits.grad is not None
    return logits.grad


@pytest.mark.parametrize("offset", [-80.0, -12.0, 0.0, 12.0])
def test_absent_class_has_a_finite_and_bounded_gradient(offset: float) -> None:
    labels = torch.zeros(1, 4, 4, 4, dtype=torch.uint8)
    logits = torch.zeros(1, 2, 4, 4, 4)
    logits[:, 1] = offset
    found = gradient(logits, labels)
    assert found.isfinite().all()
    assert found[:, 1].sum().abs() <= 0.25 + 1e-6


def test_present_class_pulls_its_voxels_up_and_the_others_down() -> None:
    labels = torch.zeros(1, 4, 4, 4, dtype=torch.uint8)
    labels[0, 1:3, 1:3, 1:3] = 1
    found = gradient(torch.zeros(1, 2, 4, 4, 4), labels)[0, 1]
    assert (found[labels[0] == 1] < 0).all()
    assert (found[labels[0] == 0] > 0).all()
