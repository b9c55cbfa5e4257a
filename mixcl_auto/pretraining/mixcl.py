"""Pre-training with MixCL: the network of Fig. 1 and Eq. 2."""

from collections.abc import Sequence

import torch

from mixcl_auto.distributed.ranks import ALONE, Ranks
from mixcl_auto.networks.backbone import Backbone
from mixcl_auto.networks.initialise import initialise
from mixcl_auto.networks.mixcl import MixCLNetwork
from mixcl_auto.pretraining.objective import PANELS, MixCLObjective, mixcl_settings
from mixcl_auto.pretraining.pairs import PoolDataset
from mixcl_auto.records.plan import Plan
from mixcl_auto.training.curves import Panel
from mixcl_auto.training.device import Precision
from mixcl_auto.training.networks import IMAGE_CHANNELS, build_network
from mixcl_auto.training.patches import Index
from mixcl_auto.training.state import TrainingState


class MixCLMethod:
    """See ``PretrainingMethod``; the pool's labels do not change the network.

    Args:
        plan: network, seed and objective.
        pool: not used.
    """

    panels: Sequence[Panel] = PANELS
    must_be_finite: Sequence[str] = ("total", "identity", "label", "reconstruction")
    with_targets = True

    def __init__(self, plan: Plan, pool: Sequence[PoolDataset]) -> None:
        self.network = initialise(lambda: build_mixcl_network(plan), plan.pretrain.seed)
        self._section = plan.pretrain

    @property
    def backbone(self) -> Backbone:
        """Theta and phi."""
        return self.network.backbone

    @property
    def label_grid(self) -> Index:
        """The grid of the finest level whose embeddings Eq. 6 compares."""
        return self.backbone.levels[min(self._section.label_level)].grid

    def objective(
        self, state: TrainingState, *, device: torch.device, precision: Precision, ranks: Ranks = ALONE
    ) -> MixCLObjective:
        """Eq. 2."""
        return MixCLObjective(
            self.network,
            mixcl_settings(self._section),
            parallel=state.parallel,
            device=device,
            precision=precision,
            scale=state.scaler.scale,
            ranks=ranks,
        )


def build_mixcl_network(plan: Plan) -> MixCLNetwork:
    """The network of Fig. 1, without the parts that no term needs."""
    section = plan.pretrain
    return MixCLNetwork(
        build_network(plan.network, out_channels=IMAGE_CHANNELS),
        label_levels=section.label_level,
        identity="identity" not in section.without,
        label="label" not in section.without,
        reconstruction="reconstruction" not in section.without,
        recompute_level_0=section.recompute_level_0,
    )
