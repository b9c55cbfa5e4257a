"""Decision 17: Dice + cross-entropy."""

from typing import NamedTuple

from monai.losses.dice import DiceCELoss
from torch import Tensor, nn

from mixcl_auto.losses.precision import widen, without_autocast


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
    """MONAI's ``DiceCELoss`` on softmax outputs, in float32 with autocast off.

    A class that is absent from the reference gives 1 - s / (p + s) with s = 1e-5 and p the sum of its
    probabilities: a constant with hardly a gradient where p is large (cross-entropy is what removes it),
    and a bounded one everywhere, at most 1/4 over all logits of the class.

    Args:
        over_batch: one Dice per class over all samples together, rather than one per sample.
        include_background: whether class 0 counts in the Dice part.
    """

    def __init__(self, *, over_batch: bool, include_background: bool) -> None:
        super().__init__()
        self.criterion = DiceCELoss(
            include_background=include_background, to_onehot_y=True, softmax=True, batch=over_batch
        )

    def forward(self, logits: Tensor, labels: Tensor) -> SegmentationTerms:
        """Compare logits (B, K, X, Y, Z) with labels (B, X, Y, Z) of any integer type, below K."""
        with without_autocast(logits):
            logits, reference = widen(logits), labels[:, None].long()
            dice = self.criterion.dice(logits, reference)
            cross_entropy = self.criterion.ce(logits, reference)
            return SegmentationTerms(dice + cross_entropy, dice, cross_entropy)
