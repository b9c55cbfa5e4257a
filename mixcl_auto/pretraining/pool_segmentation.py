"""One supervised pre-training step's loss: Dice + cross-entropy through a head per dataset."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mixcl_auto.distributed.ranks import ALONE, Ranks
from mixcl_auto.losses.soft_overlap import overlap_sums, soft_dice, voxels_per_class
from mixcl_auto.training.curves import Panel
from mixcl_auto.training.device import Precision, autocast
from mixcl_auto.training.run_log import Value
from mixcl_auto.training.samples import Batch

PANELS = (
    Panel("Dice + cross-entropy, a head per dataset", ("loss",)),
    Panel("Its parts", ("dice_loss", "cross_entropy")),
)


class PoolTerms(NamedTuple):
    """The loss and its two parts, 0-d, of the whole batch whichever process asks.

    Attributes:
        loss: their sum.
        dice: 1 - soft Dice, averaged over a dataset's classes but the background, then over samples.
        cross_entropy: averaged over voxels.
    """

    loss: Tensor
    dice: Tensor
    cross_entropy: Tensor


class PoolSegmentationLoss:
    """Dice + cross-entropy where each sample has the labels of one dataset and is seen by its head alone.

    Head d is a slice of the output channels, as long as dataset d has classes, the heads one after the other.
    For a class k of d, over the voxels of all samples of d in the batch, Dice is (2 I + s) / (P + G + s), as
    in fine-tuning: I, P and G are the sums of p g, p and g, p the softmax over the head, g the one-hot
    reference and s = 1e-5. With n_d of the batch's N samples,

        loss = sum_d n_d / N (mean_k>0 (1 - Dice_dk) + mean over voxels of -log p at the reference).

    A class that d's samples lack counts as a Dice of s / (P + s). A dataset without a sample does not count,
    and its head gets a gradient of zeros, as every head gets from the samples of others.

    Args:
        class_counts: classes of each dataset, background included.
        device: of the logits.
        ranks: the processes that hold a part of the batch each.
    """

    def __init__(self, class_counts: Sequence[int], *, device: torch.device, ranks: Ranks = ALONE) -> None:
        heads = torch.repeat_interleave(torch.arange(len(class_counts)), torch.tensor(class_counts))
        is_own = heads == torch.arange(len(class_counts))[:, None]  # (D, K)
        starts = torch.tensor([0, *class_counts]).cumsum(0)[:-1]
        organs = is_own.index_fill(1, starts, False).float()
        self._starts = starts.int().to(device)
        self._closed = torch.zeros(is_own.shape).masked_fill(~is_own, -math.inf).to(device)
        self._class_weights = (organs / organs.sum(1, keepdim=True).clamp(min=1)).to(device)
        self._datasets, self._ranks = len(class_counts), ranks

    def __call__(self, logits: Tensor, labels: Tensor, datasets: Sequence[int]) -> PoolTerms:
        """Compare a batch; float32 with autocast off.

        Args:
            logits: of all heads, (N, K, X, Y, Z).
            labels: of the samples' own datasets, (N, X, Y, Z), of any integer type.
            datasets: each sample's number in the pool.
        """
        head = torch.tensor(datasets).to(logits.device, non_blocking=True)
        # Minus infinity closes the other heads: their probability and their gradient are exactly zero.
        own = logits + self._closed[head].to(logits.dtype)[..., None, None, None]
        channels = labels.int() + self._starts[head][:, None, None, None]
        sums = overlap_sums(own, channels)
        samples = torch.tensor([datasets.count(d) for d in range(self._datasets)], dtype=torch.float32)
        intersection, predicted, reference, cross_entropy, samples = self._ranks.sum(
            [
                sums.intersection.sum(0),
                sums.predicted.sum(0),
                voxels_per_class(channels, logits.shape[1]).sum(0),
                sums.cross_entropy.sum(),
                samples.to(logits.device, non_blocking=True),
            ]
        )
        dice = 1 - soft_dice(intersection, predicted, reference)  # (K,)
        shares = samples / samples.sum()
        dice = (shares * (self._class_weights * dice).sum(1)).sum()
        cross_entropy = cross_entropy / (samples.sum() * labels[0].numel())
        return PoolTerms(dice + cross_entropy, dice, cross_entropy)


class PoolSegmentationObjective:
    """``PoolSegmentationLoss`` of a network on the batches of a ``PairSource``, all three views at once.

    Args:
        network: on its device; gives logits of all heads.
        class_counts: classes of each dataset of the pool, background included.
        device: of the network.
        precision: of the network's forward pass.
        ranks: the processes that hold a part of each batch.
    """

    def __init__(
        self,
        network: nn.Module,
        class_counts: Sequence[int],
        *,
        device: torch.device,
        precision: Precision,
        ranks: Ranks = ALONE,
    ) -> None:
        self.network = network
        self.loss = PoolSegmentationLoss(class_counts, device=device, ranks=ranks)
        self._device, self._precision = device, precision

    def __call__(self, batch: Batch, *, measure_gradients: bool) -> tuple[Tensor, dict[str, Value]]:
        """The loss of a batch, and its row of the log; there is nothing more to measure now and then."""
        tensors = batch.tensors
        views = torch.cat([tensors["view_1"], tensors["view_1_prime"], tensors["view_2"]])
        labels = torch.cat([tensors["labels_1"], tensors["labels_1"], tensors["labels_2"]])
        with autocast(self._device, self._precision):
            logits = self.network(views)  # (3B, K, X, Y, Z)
        terms = self.loss(logits, labels, 3 * batch.numbers["dataset"])
        row: dict[str, Value] = {
            "loss": terms.loss,
            "dice_loss": terms.dice,
            "cross_entropy": terms.cross_entropy,
        }
        return terms.loss, row
