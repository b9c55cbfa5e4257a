import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from mixcl_auto.distributed.ranks import Ranks
from mixcl_auto.finetuning.segmentation_loss import SegmentationLoss
from mixcl_auto.pretraining.pool_segmentation import PoolSegmentationLoss

CPU = torch.device("cpu")
CLASS_COUNTS = (2, 3)
LABELS_0, LABELS_1 = (0, 0, 0, 1), (0, 1, 1, 2)
"""Four voxels of a sample of either dataset."""


def label_maps(*samples: Sequence[int]) -> Tensor:
    return torch.tensor(samples, dtype=torch.uint8).view(len(samples), 4, 1, 1)


def random_logits(samples: int, channels: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(samples, channels, 4, 1, 1, generator=torch.Generator().manual_seed(seed))


def test_loss_of_two_datasets_by_hand() -> None:
    """Equal logits: p is 1/2 in the head of dataset 0, which has two of three samples, and 1/3 in the other.

    Dataset 0: I = 1, P = 4, G = 2. Dataset 1: I = 2/3, P = 4/3, G = 2, and I = 1/3, P = 4/3, G = 1.
    """
    loss = PoolSegmentationLoss(CLASS_COUNTS, device=CPU)
    terms = loss(torch.zeros(3, 5, 4, 1, 1), label_maps(LABELS_0, LABELS_1, LABELS_0), [0, 1, 0])
    dice_0, dice_1 = 2 * 1 / 6, (2 * (2 / 3) / (10 / 3) + 2 * (1 / 3) / (7 / 3)) / 2
    expected = 2 / 3 * (1 - dice_0) + 1 / 3 * (1 - dice_1)
    assert terms.dice.item() == pytest.approx(expected, abs=1e-5)
    assert terms.cross_entropy.item() == pytest.approx((2 * math.log(2) + math.log(3)) / 3, abs=1e-6)
    assert terms.loss.item() == pytest.approx(terms.dice.item() + terms.cross_entropy.item(), abs=1e-6)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_pool_of_one_dataset_has_the_loss_and_gradient_of_fine_tuning(
    memory_format: torch.memory_format,
) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 4, 6, 5, 4, generator=generator).to(memory_format=memory_format)
    labels = torch.randint(3, (3, 6, 5, 4), generator=generator, dtype=torch.uint8)  # class 3 is absent
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    terms = PoolSegmentationLoss([4], device=CPU)(ours, labels, [0, 0, 0])
    expected = SegmentationLoss(over_batch=True, include_background=False)(theirs, labels)
    torch.testing.assert_close(tuple(terms), tuple(expected))
    torch.autograd.backward([terms.loss, expected.loss])
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_logits_of_other_heads_change_nothing_and_have_a_gradient_of_zeros() -> None:
    logits, labels = random_logits(2), label_maps(LABELS_0, LABELS_1)
    other = logits.clone()
    other[0, 2:] += 100.0
    other[1, :2] -= 100.0
    other.requires_grad_()
    loss = PoolSegmentationLoss(CLASS_COUNTS, device=CPU)
    terms = loss(other, labels, [0, 1])
    assert tuple(terms) == tuple(loss(logits, labels, [0, 1]))
    torch.autograd.backward(terms.loss)
    gradient = other.grad
    assert gradient is not None
    assert (gradient[0, 2:] == 0).all()
    assert (gradient[1, :2] == 0).all()
    assert (gradient[0, :2] != 0).all()
    assert (gradient[1, 2:] != 0).all()


def test_dataset_without_a_sample_does_not_count() -> None:
    logits, labels = random_logits(2), label_maps(LABELS_0, LABELS_0)
    both = PoolSegmentationLoss(CLASS_COUNTS, device=CPU)(logits, labels, [0, 0])
    alone = PoolSegmentationLoss([2], device=CPU)(logits[:, :2], labels, [0, 0])
    torch.testing.assert_close(tuple(both), tuple(alone))


def test_dataset_that_labels_nothing_adds_no_loss() -> None:
    loss = PoolSegmentationLoss([1, 2], device=CPU)
    logits = random_logits(2, channels=3)
    terms = loss(logits, label_maps((0, 0, 0, 0), LABELS_0), [0, 1])
    alone = PoolSegmentationLoss([2], device=CPU)(logits[1:, 1:], label_maps(LABELS_0), [0])
    torch.testing.assert_close(terms.loss, alone.loss / 2)


def test_logits_in_half_precision_are_summed_in_float32() -> None:
    logits, labels = random_logits(2).bfloat16(), label_maps(LABELS_0, LABELS_1)
    loss = PoolSegmentationLoss(CLASS_COUNTS, device=CPU)
    with torch.autocast("cpu", torch.bfloat16):
        terms = loss(logits, labels, [0, 1])
    assert terms.loss.dtype == torch.float32
    torch.testing.assert_close(tuple(terms), tuple(loss(logits.float(), labels, [0, 1])))


def test_processes_that_share_a_batch_have_the_whole_batchs_loss_from_one_exchange(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logits = random_logits(4)
    labels, datasets = label_maps(LABELS_0, LABELS_1, LABELS_0, LABELS_0), [0, 1, 0, 0]
    exchanged: list[list[Tensor]] = []

    def record(_: Ranks, tensors: Sequence[Tensor]) -> list[Tensor]:
        exchanged.append(list(tensors))
        return list(tensors)

    monkeypatch.setattr(Ranks, "sum", record)
    loss = PoolSegmentationLoss(CLASS_COUNTS, device=CPU, ranks=Ranks(0, 2))
    whole = loss(logits, labels, datasets)
    for half in (slice(0, 2), slice(2, 4)):
        loss(logits[half], labels[half], datasets[half])
    sums, first, second = exchanged
    torch.testing.assert_close([a + b for a, b in zip(first, second, strict=True)], sums)
    monkeypatch.setattr(
        Ranks, "sum", lambda _, tensors: [a + b for a, b in zip(tensors, second, strict=True)]
    )
    torch.testing.assert_close(tuple(loss(logits[:2], labels[:2], datasets[:2])), tuple(whole))
