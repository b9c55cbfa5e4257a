"""The ways of pre-training an encoder: what each trains, and what it needs of the batches that all share."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch

from mixcl_auto.distributed.ranks import ALONE, Ranks
from mixcl_auto.networks.backbone import Backbone
from mixcl_auto.networks.mixcl import MixCLNetwork
from mixcl_auto.pretraining.mixcl import MixCLMethod
from mixcl_auto.pretraining.pairs import PoolDataset
from mixcl_auto.pretraining.supervised import SupervisedMethod
from mixcl_auto.records.plan import Plan
from mixcl_auto.training.curves import Panel
from mixcl_auto.training.device import Precision
from mixcl_auto.training.loop import Objective
from mixcl_auto.training.patches import Index
from mixcl_auto.training.state import TrainingState


class PretrainingMethod(Protocol):
    """One way of pre-training under a plan, with its network.

    Attributes:
        panels: of ``progress.png``.
        must_be_finite: columns of the log that stop the run when they are not; the first is the loss.
        with_targets: whether it needs undistorted patches and weights, see ``PairSettings``.
    """

    panels: Sequence[Panel]
    must_be_finite: Sequence[str]
    with_targets: bool

    @property
    def network(self) -> Backbone | MixCLNetwork:
        """What is trained; on the CPU with the seed's weights until ``start_state`` moves it."""

    @property
    def backbone(self) -> Backbone:
        """The part of the network that holds the encoder; for one seed it starts alike in every method."""

    @property
    def label_grid(self) -> Index:
        """Voxels of the grid on which it needs the labels."""

    def objective(
        self, state: TrainingState, *, device: torch.device, precision: Precision, ranks: Ranks = ALONE
    ) -> Objective:
        """What it minimises, with the network as it is in ``state``."""


METHODS: Mapping[str, Callable[[Plan, Sequence[PoolDataset]], PretrainingMethod]] = {
    "mixcl": MixCLMethod,
    "supervised": SupervisedMethod,
}


def planned_method(plan: Plan, pool: Sequence[PoolDataset]) -> PretrainingMethod:
    """The method that a plan asks for, with its network before the first step.

    Args:
        plan: with ``pretrain.method``.
        pool: the datasets; their cases may be absent where no more than a network is needed.
    """
    return METHODS[plan.pretrain.method](plan, pool)
