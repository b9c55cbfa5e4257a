"""One fine-tuning step's loss."""

import torch
from torch import Tensor, nn

from mixcl_auto.distributed.ranks import ALONE, Ranks
from mixcl_auto.finetuning.segmentation_loss import SegmentationLoss
from mixcl_auto.records.plan import FinetunePlan
from mixcl_auto.training.curves import Panel
from mixcl_auto.training.device import Precision, autocast
from mixcl_auto.training.run_log import Value
from mixcl_auto.training.samples import Batch

PANELS = (
    Panel("Dice + cross-entropy", ("loss",)),
    Panel("Its parts", ("dice_loss", "cross_entropy")),
)


class SegmentationObjective:
    """Dice + cross-entropy of a network on the batches of a ``PatchSource``.

    Args:
        network: on its device; gives logits (B, K, X, Y, Z).
        plan: the Dice part's options.
        device: of the network.
        precision: of the network's forward pass.
        ranks: the processes that hold a part of each batch.
    """

    def __init__(
        self,
        network: nn.Module,
        plan: FinetunePlan,
        *,
        device: torch.device,
        precision: Precision,
        ranks: Ranks = ALONE,
    ) -> None:
        self.network = network
        self.loss = SegmentationLoss(
            over_batch=plan.dice_over_batch, include_background=plan.dice_includes_background, ranks=ranks
        )
        self._device, self._precision = device, precision

    def __call__(self, batch: Batch, *, measure_gradients: bool) -> tuple[Tensor, dict[str, Value]]:
        """The loss of a batch, and its row of the log; there is nothing more to measure now and then."""
        with autocast(self._device, self._precision):
            logits = self.network(batch.tensors["image"])  # (B, K, X, Y, Z)
        terms = self.loss(logits, batch.tensors["labels"])
        row: dict[str, Value] = {
            "loss": terms.loss,
            "dice_loss": terms.dice,
            "cross_entropy": terms.cross_entropy,
        }
        return terms.loss, row
