"""One pre-training step's loss: three views through the network, Eq. 2 in float32, and the row of the log."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mixcl_auto.distributed.ranks import ALONE, Ranks
from mixcl_auto.losses.mixcl import MixCLTerms, mixcl_loss
from mixcl_auto.losses.mixcl_settings import MixCLSettings
from mixcl_auto.losses.mixcl_targets import MixCLTargets
from mixcl_auto.networks.mixcl import Embedding, MixCLNetwork, MixCLOutput
from mixcl_auto.pretraining.collapse_indicators import collapse_indicators
from mixcl_auto.pretraining.gradient_shares import gradient_shares
from mixcl_auto.records.plan import PretrainPlan
from mixcl_auto.training.curves import Panel
from mixcl_auto.training.device import Precision, autocast
from mixcl_auto.training.run_log import Value
from mixcl_auto.training.samples import Batch

PANELS = (
    Panel("MixCL, Eq. 2", ("total",)),
    Panel("Reconstruction, Eq. 3, log scale", ("reconstruction",), is_log=True),
    Panel("Identity consistency, Eq. 4, log scale", ("identity",), is_log=True),
    Panel(
        "Identity consistency by level, log scale",
        tuple(f"identity_level_{level}" for level in range(5)),
        is_log=True,
    ),
    Panel(
        "Label consistency, Eq. 6, and its value with all embeddings equal",
        ("label", "label_chance"),
        is_paired=True,
    ),
    Panel(
        "Share of the samples without a pair for Eq. 6",
        tuple(f"label_skipped_level_{level}" for level in range(5)),
        is_share=True,
    ),
    Panel(
        "Share of the encoder's gradient norm",
        ("gradient_share_identity", "gradient_share_label", "gradient_share_reconstruction"),
        is_share=True,
    ),
    Panel(
        "Effective rank of the embeddings, share of channels, log scale",
        tuple(f"effective_rank_level_{level}" for level in range(5)),
        is_log=True,
    ),
    Panel(
        "Spread of the embeddings' channels",
        tuple(f"channel_spread_level_{level}" for level in range(5)),
        is_share=True,
    ),
)


def mixcl_settings(plan: PretrainPlan) -> MixCLSettings:
    """The objective of a plan."""
    return MixCLSettings(
        label_weight=plan.label_weight,
        reconstruction_weight=plan.reconstruction_weight,
        off_diagonal_weight=plan.off_diagonal_weight,
        identity_reduction=plan.identity_reduction,
        center=plan.center,
        temperature=plan.temperature,
        label_reduction=plan.label_reduction,
        label_levels=plan.label_level,
        voxels_per_class=plan.voxels_per_class,
        reconstruction_reduction=plan.reconstruction_reduction,
        identity="identity" not in plan.without,
        label="label" not in plan.without,
        reconstruction="reconstruction" not in plan.without,
    )


class MixCLObjective:
    """Eq. 2 of a network on the batches of a ``PairSource``.

    Args:
        network: on its device.
        settings: the objective.
        parallel: what is called for the network's outputs: the network, or its wrapper for several processes.
        device: of the network.
        precision: of the network's forward pass.
        scale: the gradient scaler's, applied to terms whose gradients are measured.
        ranks: the processes that hold a part of each batch.
    """

    def __init__(
        self,
        network: MixCLNetwork,
        settings: MixCLSettings,
        *,
        parallel: nn.Module,
        device: torch.device,
        precision: Precision,
        scale: Callable[[Tensor], Tensor],
        ranks: Ranks = ALONE,
    ) -> None:
        self.network = network
        self.settings = settings
        self._parallel, self._ranks = parallel, ranks
        self._device, self._precision, self._scale = device, precision, scale
        self._encoder = list(network.backbone.encoder_parameters())

    def __call__(self, batch: Batch, *, measure_gradients: bool) -> tuple[Tensor, dict[str, Value]]:
        """Eq. 2 of a batch, and its row of the log.

        ``measure_gradients`` also fills the columns of the embeddings' rank and spread.
        """
        tensors = batch.tensors
        with autocast(self._device, self._precision):
            output: MixCLOutput = self._parallel(
                tensors["view_1"], tensors["view_1_prime"], tensors["view_2"]
            )
        terms = mixcl_loss(
            **output._asdict(), targets=self._targets(batch), settings=self.settings, ranks=self._ranks
        )
        row = self._row(terms, len(tensors["view_1"]) * self._ranks.count)
        return terms.total, row | self._measured(terms, output.embeddings_1, is_due=measure_gradients)

    def _targets(self, batch: Batch) -> MixCLTargets:
        tensors = batch.tensors
        seeds = batch.numbers["voxel_seed"]
        return MixCLTargets(
            patch_1=tensors["patch_1"],
            patch_2=tensors["patch_2"],
            labels_1=tensors["labels_1"],
            labels_2=tensors["labels_2"],
            weights_1=tensors["weights_1"],
            weights_2=tensors["weights_2"],
            class_counts=batch.numbers["class_count"],
            generators=[torch.Generator(self._device).manual_seed(seed) for seed in seeds],
        )

    def _shares(self, terms: MixCLTerms) -> dict[str, Tensor]:
        settings = self.settings
        weighted = {
            "identity": (settings.identity, settings.identity_weight * terms.identity),
            "label": (settings.label, settings.label_weight * terms.label),
            "reconstruction": (
                settings.reconstruction,
                settings.reconstruction_weight * terms.reconstruction,
            ),
        }
        present = {name: self._scale(term) for name, (is_on, term) in weighted.items() if is_on}
        return gradient_shares(present, self._encoder, self._ranks)

    def _row(self, terms: MixCLTerms, samples: int) -> dict[str, Value]:
        """The columns of every step, empty for terms that are off."""
        settings = self.settings
        levels = range(len(self.network.backbone.levels))
        per_level, diagonals = terms.identity_per_level, terms.identity_diagonal_per_level
        row: dict[str, Value] = {
            "total": terms.total,
            "identity": terms.identity if settings.identity else None,
        }
        row |= {f"identity_level_{n}": per_level[n] if per_level else None for n in levels}
        row |= {f"identity_diagonal_level_{n}": diagonals[n] if diagonals else None for n in levels}
        row["label"] = terms.label if settings.label else None
        row["label_chance"] = terms.label_chance if settings.label else None
        skipped = dict(zip(settings.label_levels, 1 - terms.label_samples / samples, strict=False))
        row |= {f"label_skipped_level_{n}": skipped.get(n) for n in levels}
        row["reconstruction"] = terms.reconstruction if settings.reconstruction else None
        return row

    def _measured(
        self, terms: MixCLTerms, embeddings_1: Sequence[Embedding | None], *, is_due: bool
    ) -> dict[str, Value]:
        """The columns that are measured now and then, empty on the other steps and for what is off."""
        shares = self._shares(terms) if is_due else {}
        rank_shares, spreads = collapse_indicators(embeddings_1, self._ranks) if is_due else ({}, {})
        levels = range(len(self.network.backbone.levels))
        names = ("identity", "label", "reconstruction")
        row: dict[str, Value] = {f"gradient_share_{name}": shares.get(name) for name in names}
        row |= {f"effective_rank_level_{n}": rank_shares.get(n) for n in levels}
        row |= {f"channel_spread_level_{n}": spreads.get(n) for n in levels}
        return row
