"""What the rest of the project knows of a network: level maps, an encoder part and a decoder part.

A second backbone (SwinUNETR, a residual U-Net) is another subclass; nothing outside this package asks which
it is.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Grid = tuple[int, int, int]


@dataclass(frozen=True)
class Level:
    """One of the encoder's outputs.

    Attributes:
        channels: of the map.
        grid: voxels of the map along x, y and z.
    """

    channels: int
    grid: Grid


class Backbone(nn.Module, ABC):
    """An encoder that gives a map per level and a decoder that turns the maps into one output per voxel.

    Attributes:
        in_channels: of the input.
        patch_size: voxels of the input along x, y and z; fixed where the encoder has a position embedding.
        levels: the encoder's outputs, finest first.
    """

    in_channels: int
    patch_size: Grid
    levels: tuple[Level, ...]

    @abstractmethod
    def encode(self, image: Tensor) -> list[Tensor]:
        """Maps of all levels, (B, channels, *grid) each, of an image (B, in_channels, X, Y, Z)."""

    @abstractmethod
    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """The output (B, out_channels, X, Y, Z) from all levels' maps."""

    @abstractmethod
    def is_encoder_key(self, name: str) -> bool:
        """Whether a name of a state dict belongs to the encoder, the part that transfer carries over."""

    @abstractmethod
    def feeds(self, name: str, *, levels: Collection[int], decoder: bool) -> bool:
        """Whether a parameter gets a gradient from the maps of ``levels`` or (``decoder``) the output."""

    @abstractmethod
    def output_bias(self) -> nn.Parameter:
        """The bias of the last layer, (out_channels,)."""

    @property
    def position_grids(self) -> Mapping[str, Grid]:
        """Token grids of the learnt position embeddings (1, tokens, channels), by name."""
        return {}

    def forward(self, image: Tensor) -> Tensor:
        """Logits, or a reconstruction, (B, out_channels, X, Y, Z) of an image (B, in_channels, X, Y, Z)."""
        return self.decode(self.encode(image))

    def noise(self, batch_size: int) -> tuple[Tensor, ...]:
        """Random numbers in the form of what ``forward`` takes."""
        return (torch.rand(batch_size, self.in_channels, *self.patch_size),)

    def own_tensors(self, level: int) -> frozenset[str]:
        """The encoder's tensors that feed one level and no other, by name."""
        others = [other for other in range(len(self.levels)) if other != level]
        return frozenset(
            name
            for name in self.encoder_state_dict()
            if self.feeds(name, levels=[level], decoder=False)
            and not self.feeds(name, levels=others, decoder=False)
        )

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """The encoder's parameters that are trained."""
        for name, parameter in self.named_parameters():
            if parameter.requires_grad and self.is_encoder_key(name):
                yield parameter

    def encoder_state_dict(self) -> dict[str, Tensor]:
        """The encoder's tensors by name: what pre-training hands on."""
        return {name: tensor for name, tensor in self.state_dict().items() if self.is_encoder_key(name)}
