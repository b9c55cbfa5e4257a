"""The network of Fig. 1: encoder theta, projectors sigma and reconstructor phi over three views."""

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from mixcl_auto.errors import PlanError
from mixcl_auto.networks.backbone import Backbone
from mixcl_auto.networks.leading_samples import leading_samples
from mixcl_auto.networks.projector import Projector

_VOXELS_PER_CHANNEL = 64
"""From this ratio on a level's embeddings stay factored: Gram matrices of the features cost less."""


class FactoredEmbedding(NamedTuple):
    """Embeddings Z = head @ features that are not multiplied out; the losses take them as they are.

    Attributes:
        features: what enters the projector's last layer, (B, c, X, Y, Z).
        head: the last layer's weights, (2c, c).
    """

    features: Tensor
    head: Tensor

    def dense(self) -> Tensor:
        """The embeddings, (B, 2c, X, Y, Z)."""
        return functional.conv3d(self.features, self.head[:, :, None, None, None])


Embedding = Tensor | FactoredEmbedding


class MixCLOutput(NamedTuple):
    """What the losses need of three views; ``mixcl_loss`` takes the fields by name.

    Attributes:
        embeddings_1: Z1 at every level, (B, 2c_l, X_l, Y_l, Z_l), factored at the levels with many voxels;
            without the identity term None at every level but the label levels.
        embeddings_1_prime: Z1' at every level, likewise; without the identity term None at every level.
        embeddings_2: Z2 at every level, likewise; None at all but the label levels, and without the label
            term.
        reconstructions: of views 1, 1' and 2, (B, 1, X, Y, Z) each; None without the reconstruction term.
    """

    embeddings_1: list[Embedding | None]
    embeddings_1_prime: list[Embedding | None]
    embeddings_2: list[Embedding | None]
    reconstructions: tuple[Tensor, Tensor, Tensor] | None


class _LevelEmbeddings(NamedTuple):
    view_1: Embedding | None
    view_1_prime: Embedding | None
    view_2: Embedding | None


class MixCLNetwork(nn.Module):
    """A backbone with a projector per level.

    All views go through the encoder as one batch, which is exact, since every norm is per sample. Where a
    term is switched off, its projectors do not exist, views that serve no other term are not encoded, and
    every parameter that then gets no gradient is frozen: no optimiser, weight decay or data-parallel reducer
    touches it.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        label_levels: Sequence[int] = (1,),
        identity: bool = True,
        label: bool = True,
        reconstruction: bool = True,
        recompute_level_0: bool = False,
    ) -> None:
        """Add projectors to a backbone whose output has the image's channels.

        Args:
            backbone: theta and phi; its parameters are frozen where no term needs them.
            label_levels: the levels whose embeddings enter the label term.
            identity: whether the identity term is on.
            label: whether the label term is on.
            reconstruction: whether the reconstruction term is on.
            recompute_level_0: whether the projector of the largest maps is computed again for its gradient
                (Chen et al. 2016), which spares the memory of what lies between its layers.

        Raises:
            PlanError: when no term is on, the level does not exist, or a level to be projected has one voxel
                only, which no norm over voxels can work on.
        """
        super().__init__()
        if not (identity or label or reconstruction):
            raise PlanError(
                "pretrain needs at least one of identity, label and reconstruction; switch one on"
            )
        if strange := [level for level in label_levels if not 0 <= level < len(backbone.levels)]:
            raise PlanError(
                f"pretrain.label_level must be from 0 to {len(backbone.levels) - 1}, got {strange[0]}"
            )
        self.backbone = backbone
        self.label_levels = frozenset(label_levels) if label else frozenset()
        self.identity, self.label, self.reconstruction = identity, label, reconstruction
        self.recompute_level_0 = recompute_level_0
        projected = range(len(backbone.levels)) if identity else sorted(self.label_levels)
        self.factored_levels = frozenset(
            level
            for level, size in enumerate(backbone.levels)
            if math.prod(size.grid) >= _VOXELS_PER_CHANNEL * size.channels
        )
        self.projectors = nn.ModuleDict({str(level): self._projector(level) for level in projected})
        self._freeze_what_no_term_reaches()

    def forward(self, view_1: Tensor, view_1_prime: Tensor, view_2: Tensor) -> MixCLOutput:
        """Embed and reconstruct three views, (B, 1, X, Y, Z) each."""
        # View 1 in the middle: identity needs the first two, label the last two, both of them slices.
        views = [view_1]
        if self.identity or self.reconstruction:
            views.insert(0, view_1_prime)
        if self.label or self.reconstruction:
            views.append(view_2)
        maps = self.backbone.encode(torch.cat(views))
        embedded = []
        for level, level_map in enumerate(maps):
            maps[level], projected = self._projected_views(level, level_map, len(view_1))
            embedded.append(self._embed(level, projected, len(view_1)))
        return MixCLOutput(
            embeddings_1=[level.view_1 for level in embedded],
            embeddings_1_prime=[level.view_1_prime for level in embedded],
            embeddings_2=[level.view_2 for level in embedded],
            reconstructions=self._reconstruct(maps) if self.reconstruction else None,
        )

    def noise(self, batch_size: int) -> tuple[Tensor, ...]:
        """Random numbers in the form of what ``forward`` takes."""
        return (
            *self.backbone.noise(batch_size),
            *self.backbone.noise(batch_size),
            *self.backbone.noise(batch_size),
        )

    def _projected_views(self, level: int, level_map: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        """A level's map, and the part of it that the terms need projected: two views, or all three."""
        with_view_2 = level in self.label_levels
        if self.identity and not with_view_2:
            return leading_samples(level_map, 2 * batch)
        return level_map, level_map if self.identity else level_map[-2 * batch :]

    def _embed(self, level: int, projected: Tensor, batch: int) -> _LevelEmbeddings:
        """Project the views that the terms need at a level."""
        if str(level) not in self.projectors:
            return _LevelEmbeddings(None, None, None)
        with_view_2 = level in self.label_levels
        parts = self._project(level, projected, batch)
        return _LevelEmbeddings(
            view_1=parts[1 if self.identity else 0],
            view_1_prime=parts[0] if self.identity else None,
            view_2=parts[-1] if with_view_2 else None,
        )

    def _project(self, level: int, level_map: Tensor, batch: int) -> Sequence[Embedding]:
        """Embeddings of a level's map, one per view of ``batch`` samples."""
        projector = cast(Projector, self.projectors[str(level)])
        if level not in self.factored_levels:
            return torch.split(projector(level_map), batch)
        head = projector.head.matrix()
        features = (
            checkpoint(projector.trunk, level_map, use_reentrant=False)
            if self.recompute_level_0 and level == 0
            else projector.trunk(level_map)
        )
        return [FactoredEmbedding(part, head) for part in torch.split(features, batch)]

    def _reconstruct(self, maps: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Undistorted patches from all views' maps, in the order 1, 1', 2."""
        view_1_prime, view_1, view_2 = self.backbone.decode(maps).chunk(3)
        return view_1, view_1_prime, view_2

    def _projector(self, level: int) -> Projector:
        """The projector of a level, refused where the level has a single voxel."""
        channels, grid = self.backbone.levels[level].channels, self.backbone.levels[level].grid
        if grid == (1, 1, 1):
            raise PlanError(
                f"network.patch_size {self.backbone.patch_size} leaves one voxel at level {level}, too few "
                "for pre-training; at least double one side"
            )
        return Projector(channels)

    def _freeze_what_no_term_reaches(self) -> None:
        """Freeze the backbone's parameters that get no gradient from the terms that are on."""
        levels = [int(level) for level in self.projectors]
        for name, parameter in self.backbone.named_parameters():
            if not self.backbone.feeds(name, levels=levels, decoder=self.reconstruction):
                parameter.requires_grad_(False)
