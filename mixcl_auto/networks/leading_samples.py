"""A part of a batch beside the whole of it, with one pass over the gradients where both meet."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from mixcl_auto.networks.memory_layout import is_channels_last


def leading_samples(maps: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The whole batch (B, C, X, Y, Z) and its first ``count`` samples, for two uses of the same maps.

    A plain slice gives the same; but autograd pads its gradient with zeros to the size of the batch and then
    adds all of it, twice the memory traffic.
    """
    if torch.compiler.is_compiling():
        return maps, maps[:count]
    apply = cast(Callable[..., tuple[Tensor, Tensor]], _LeadingSamples.apply)
    return apply(maps, count)


class _LeadingSamples(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, count: int) -> tuple[Tensor, Tensor]:
        ctx.count, ctx.shape = count, maps.shape
        ctx.set_materialize_grads(False)
        return maps.view_as(maps), maps[:count]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, to_all: Tensor | None, to_first: Tensor | None) -> tuple[Tensor | None, None]:
        if to_first is None:
            return to_all, None
        layout = torch.channels_last_3d if is_channels_last(to_first) else torch.contiguous_format
        gradient = torch.empty(ctx.shape, dtype=to_first.dtype, device=to_first.device, memory_format=layout)
        if to_all is None:
            gradient[: ctx.count] = to_first
            gradient[ctx.count :] = 0
        else:
            torch.add(to_all[: ctx.count], to_first, out=gradient[: ctx.count])
            gradient[ctx.count :] = to_all[ctx.count :]
        return gradient, None
