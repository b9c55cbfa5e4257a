"""Decision 17: Dice + cross-entropy."""

from typing import NamedTuple

from torch import Tensor, nn

from mixcl_auto.distributed.ranks import ALONE, Ranks
from mixcl_auto.losses.soft_overlap import overlap_sums, soft_dice, voxels_per_class


class SegmentationTerms(NamedTuple):
    """The loss and its two parts, 0-d.

    Attributes:
        loss: their sum.
        dice: 1 - soft Dice, averaged over classes.
        cross_entropy: averaged over voxels.
    """

    loss: Tensor
    dice: Tensor
    cross_entropy: Tensor


class SegmentationLoss(nn.Module):
    """The values of MONAI's ``DiceCELoss`` on softmax outputs, in float32 with autocast off.

    Dice of a class is (2 I + s) / (P + G + s), with I, P and G the sums over voxels of p g, p and g, p the
    softmax, g the one-hot reference and s = 1e-5 (Milletari et al. 2016, without squares).

    A class that is absent from the reference gives 1 - s / (p + s) with p the sum of its probabilities: a
    constant with hardly a gradient where p is large (cross-entropy is what removes it), and a bounded one
    everywhere, at most 1/4 over all logits of the class.

    Args:
        over_batch: one Dice per class over all samples together, rather than one per sample.
        include_background: whether class 0 counts in the Dice part.
        ranks: the processes that hold a part of the batch each, equally many samples; the loss is the whole
            batch's on all of them.
    """

    def __init__(self, *, over_batch: bool, include_background: bool, ranks: Ranks = ALONE) -> None:
        super().__init__()
        self.over_batch, self.include_background, self.ranks = over_batch, include_background, ranks

    def forward(self, logits: Tensor, labels: Tensor) -> SegmentationTerms:
        """Compare logits (B, K, X, Y, Z) with labels (B, X, Y, Z) of any integer type, below K."""
        sums = overlap_sums(logits, labels)
        reference = voxels_per_class(labels, logits.shape[1])
        cross_entropy = sums.cross_entropy.sum() / labels.numel()
        overlap = (sums.intersection, sums.predicted, reference)
        if self.over_batch:
            *overlap_of_all, cross_entropy = self.ranks.sum(
                [*(part.sum(0) for part in overlap), cross_entropy]
            )
            dice = self._dice_loss(*overlap_of_all)
        else:
            dice, cross_entropy = self.ranks.sum([self._dice_loss(*overlap), cross_entropy])
            dice = dice / self.ranks.count
        cross_entropy = cross_entropy / self.ranks.count
        return SegmentationTerms(dice + cross_entropy, dice, cross_entropy)

    def _dice_loss(self, intersection: Tensor, predicted: Tensor, reference: Tensor) -> Tensor:
        """1 - Dice of I, P and G, (..., K) each, averaged over classes and whatever stands before them."""
        dice = soft_dice(intersection, predicted, reference)
        return 1 - (dice if self.include_background else dice[..., 1:]).mean()
