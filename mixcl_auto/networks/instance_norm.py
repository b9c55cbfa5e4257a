"""Instance normalisation that keeps its input's memory layout.

PyTorch's own brings channels-last maps into channels-first order and gives back a view. On a CPU,
convolutions then turn every map round again, and an activation in place on a view makes autograd copy whole
maps: together a third of UNETR's training step.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mixcl_auto.networks.memory_layout import is_channels_last

_EPSILON = 1e-5
_CHANNELS_LAST = torch.channels_last_3d


class InstanceNorm(nn.Module):
    """Normalise each channel of each sample over its voxels: (x - mean) / sqrt(variance + 1e-5), biased.

    The values of ``torch.nn.InstanceNorm3d`` without running statistics (Ulyanov et al. 2016). The output is
    no view, so that it may be changed in place at no cost.
    """

    def __init__(self, channels: int | None = None) -> None:
        """Build the layer; with ``channels`` it scales and shifts each of them, as drawn to 1 and 0."""
        super().__init__()
        self.weight = None if channels is None else nn.Parameter(torch.ones(channels))
        self.bias = None if channels is None else nn.Parameter(torch.zeros(channels))

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, X, Y, Z) to the same shape and precision, on a CPU in the same memory layout."""
        if torch.compiler.is_compiling():
            return functional.instance_norm(maps, weight=self.weight, bias=self.bias, eps=_EPSILON)
        apply = cast(Callable[..., Tensor], _InstanceNorm.apply)
        return apply(maps, self.weight, self.bias)


def replace_instance_norms(network: nn.Module) -> None:
    """Put an :class:`InstanceNorm` in the place of every parameterless ``torch.nn.InstanceNorm3d``."""
    for name, module in network.named_children():
        if isinstance(module, nn.InstanceNorm3d) and not (module.affine or module.track_running_stats):
            setattr(network, name, InstanceNorm())
        else:
            replace_instance_norms(module)


class _InstanceNorm(torch.autograd.Function):
    """Batch normalisation of one sample after the other, or of all as channels of one.

    Its kernels know channels-last maps, in which only single samples lie apart.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        maps = maps if _is_by_sample(maps) else maps.contiguous()
        normalised = torch.empty_like(maps)
        precision = torch.promote_types(maps.dtype, torch.float32)
        statistics = maps.new_empty((2, *maps.shape[:2]), dtype=precision)
        means, scales = (_parts_of_rows(rows, maps) for rows in statistics)
        for part, out, mean, scale in zip(_parts(maps), _parts(normalised), means, scales, strict=True):
            # Without weights, the statistics of bf16 maps would be rounded to bf16.
            ones, zeros = torch.ones_like(mean), torch.zeros_like(mean)
            torch.ops.aten.native_batch_norm.out(
                part,
                ones if weight is None else _repeated(weight, part),
                zeros if bias is None else _repeated(bias, part),
                None,
                None,
                True,
                0.0,
                _EPSILON,
                out=out,
                save_mean=mean,
                save_invstd=scale,
            )
        ctx.save_for_backward(maps, weight, statistics)
        return normalised

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        maps, weight, statistics = ctx.saved_tensors
        layout = _CHANNELS_LAST if _is_by_sample(maps) else torch.contiguous_format
        gradient = gradient.contiguous(memory_format=layout)
        to_maps, to_weights, to_biases = torch.empty_like(maps), [], []
        means, scales = (_parts_of_rows(rows, maps) for rows in statistics)
        parts = zip(_parts(gradient), _parts(maps), _parts(to_maps), means, scales, strict=True)
        for part_gradient, part, to_part, mean, scale in parts:
            found = torch.ops.aten.native_batch_norm_backward(
                part_gradient,
                part,
                torch.ones_like(mean) if weight is None else _repeated(weight, part),
                None,
                None,
                mean,
                scale,
                True,
                _EPSILON,
                [True, weight is not None, weight is not None],
            )
            to_part.copy_(found[0])
            to_weights.append(found[1])
            to_biases.append(found[2])
        if weight is None:
            return to_maps, None, None
        channels = len(weight)
        to_weight, to_bias = (torch.cat(rows).view(-1, channels).sum(0) for rows in (to_weights, to_biases))
        return to_maps, to_weight, to_bias


def _is_by_sample(maps: Tensor) -> bool:
    """Whether each sample is normalised alone: in channels-last order they can't be joined as channels."""
    return maps.device.type == "cpu" and is_channels_last(maps)


def _parts(maps: Tensor) -> list[Tensor]:
    """What batch normalisation is called with: (1, channels, X, Y, Z) each."""
    return (
        [maps[b : b + 1] for b in range(len(maps))]
        if _is_by_sample(maps)
        else [maps.view(1, -1, *maps.shape[2:])]
    )


def _parts_of_rows(rows: Tensor, maps: Tensor) -> list[Tensor]:
    """Statistics (B, C) as the parts of the maps have them."""
    return list(rows.unbind()) if _is_by_sample(maps) else [rows.view(-1)]


def _repeated(weight: Tensor, part: Tensor) -> Tensor:
    """A weight per channel of the part, (channels of the part,)."""
    return weight.repeat(part.shape[1] // len(weight))
