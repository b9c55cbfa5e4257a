"""How much of an encoder's maps is said by a voxel's place in the patch, whatever the patch shows.

A network that knows places, by a position embedding or by its padding, can give all patches the same map. Two
views of a patch then agree at every voxel, as Eq. 4 asks, and nothing of the organs need be in it.
"""

import torch
from torch import Tensor

from mixcl_auto.training.patches import Index

_SMALLEST_DEVIATION = 1e-6
"""Of a channel, relative to its largest root mean square at a place; what varies less is rounding."""


class PositionShare:
    """Variance between places over all variance, averaged over the channels that vary.

    It is 0 for maps that depend on the image alone, 1 for maps that are the same for every patch.

    The maps come batch by batch, since those of all patches would not fit into memory.

    Args:
        channels: C of the maps.
        grid: their voxels.
        device: that they are on.
    """

    def __init__(self, channels: int, grid: Index, device: torch.device) -> None:
        self.patches = 0
        self.sums = torch.zeros(channels, *grid, dtype=torch.float64, device=device)
        self.squares = self.sums.clone()

    def add(self, maps: Tensor) -> None:
        """Count the maps (B, C, X, Y, Z) of B further patches."""
        wide = maps.double()
        self.patches += len(wide)
        self.sums += wide.sum(0)
        self.squares += wide.square().sum(0)

    @property
    def is_finite(self) -> bool:
        """Whether all maps so far were."""
        return bool(self.squares.isfinite().all())

    def value(self) -> float | None:
        """The share in [0, 1].

        Within a place the variance is that over patches; between places it is that of the places' means, less
        what chance alone would leave there with so many patches.

        Returns:
            None with fewer than two patches, one place, or channels that are all constant.
        """
        if self.patches < 2 or self.sums[0].numel() < 2:
            return None
        means = (self.sums / self.patches).flatten(1)
        mean_squares = (self.squares / self.patches).flatten(1)
        correction = self.patches / (self.patches - 1)
        within = (mean_squares - means.square()).clamp(min=0).mean(1) * correction
        between = (means.var(1) - within / self.patches).clamp(min=0)
        varies = within + between > _SMALLEST_DEVIATION**2 * mean_squares.amax(1)
        if not varies.any():
            return None
        return float((between / (within + between))[varies].mean())
