"""Supervised pre-training, the baseline: the pool's own labels are learnt on the batches of MixCL.

What MixCL has to beat is not random weights alone, but the same labels used in the plainest way. So nothing
differs that need not:

* Network: the same encoder and decoder from the same seed. The last layer has one head per dataset, a slice
  of its channels as large as the dataset's number of classes, since one dataset's background is another's
  organ. A sample is compared through its dataset's head alone; the other heads get a gradient of zeros from
  it.
* Batches: those of the same ``PairSource``, bit for bit: patches, warps and all three views, with the labels
  of P1, P1 and P2, as many steps, the same optimiser and schedule.
* Loss: soft Dice without the background, over all voxels that a dataset has in the batch, and cross-entropy;
  datasets count by their samples.
* The output layer's bias starts at the log frequencies of each dataset's classes, so that small networks do
  not spend their steps on learning that most voxels are background.

None of this is a field of the plan: a baseline with knobs invites tuning one side only.
"""

from collections.abc import Sequence

import torch

from mixcl_auto.distributed.ranks import ALONE, Ranks
from mixcl_auto.networks.backbone import Backbone
from mixcl_auto.networks.bias import set_output_bias
from mixcl_auto.networks.initialise import initialise
from mixcl_auto.pretraining.pairs import PoolDataset
from mixcl_auto.pretraining.pool_segmentation import PANELS, PoolSegmentationObjective
from mixcl_auto.records.plan import Plan
from mixcl_auto.training.cases import count_label_voxels
from mixcl_auto.training.curves import Panel
from mixcl_auto.training.device import Precision
from mixcl_auto.training.networks import build_network
from mixcl_auto.training.patches import Index
from mixcl_auto.training.state import TrainingState


class SupervisedMethod:
    """See ``PretrainingMethod``.

    Args:
        plan: network and seed.
        pool: the datasets; a head each.
    """

    panels: Sequence[Panel] = PANELS
    must_be_finite: Sequence[str] = ("loss", "dice_loss", "cross_entropy")
    with_targets = False

    def __init__(self, plan: Plan, pool: Sequence[PoolDataset]) -> None:
        self.class_counts = tuple(dataset.class_count for dataset in pool)
        channels = sum(self.class_counts)
        self.network = initialise(
            lambda: build_network(plan.network, out_channels=channels), plan.pretrain.seed
        )
        set_output_bias(self.network, [share for dataset in pool for share in class_shares(dataset)])

    @property
    def backbone(self) -> Backbone:
        """The network itself."""
        return self.network

    @property
    def label_grid(self) -> Index:
        """The patch's own."""
        return self.network.patch_size

    def objective(
        self, state: TrainingState, *, device: torch.device, precision: Precision, ranks: Ranks = ALONE
    ) -> PoolSegmentationObjective:
        """Dice + cross-entropy through the heads."""
        return PoolSegmentationObjective(
            state.parallel, self.class_counts, device=device, precision=precision, ranks=ranks
        )


def class_shares(dataset: PoolDataset) -> list[float]:
    """Each class's share of the voxels of a dataset's cases, with one voxel added to every class.

    So a class that no case has keeps a share above 0, and without cases all shares are equal.
    """
    counts = [1 + count for count in count_label_voxels(dataset.cases, dataset.class_count)]
    return [count / sum(counts) for count in counts]
