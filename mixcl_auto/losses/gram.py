"""Gram matrices over voxels, without a float32 copy of the maps.

Level 0 of a 96^3 patch has 884,736 voxels. Centring two views of it in float32 and letting autograd keep the
copies costs eight times as long as the two passes here, which widen a block of voxels at a time.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from mixcl_auto.losses.precision import without_autocast

_BLOCK_ELEMENTS_CPU = 2**19
"""Of one view; two float32 blocks of this size stay within a core's caches and the shared one."""

_BLOCK_ELEMENTS_OTHER = 2**24
"""On accelerators few large kernels win; two blocks are 128 MiB."""


def joint_gram(rows: Tensor, rows_prime: Tensor, mean: Tensor, mean_prime: Tensor) -> Tensor:
    """Sum over voxels of the outer products of both views' centred channels.

    With x_m the 2C centred channels of both views at voxel m: sum_m x_m x_m^T. The means are taken as
    constants; see :func:`mixcl_auto.losses.identity_consistency.correlation_sums`.

    Args:
        rows: view 1, (M, C), in any precision and memory layout.
        rows_prime: the other view, (M, C).
        mean: channel means to subtract, (C,), in the precision to compute in.
        mean_prime: the same of the other view.

    Returns:
        (2C, 2C) in the precision of ``mean``: view 1's channels first.
    """
    apply = cast(Callable[..., Tensor], _JointGram.apply)
    return apply(rows, rows_prime, mean.detach(), mean_prime.detach())


class _JointGram(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, rows_prime: Tensor, mean: Tensor, mean_prime: Tensor) -> Tensor:
        ctx.save_for_backward(rows, rows_prime, mean, mean_prime)
        means = torch.cat([mean, mean_prime])[:, None]
        gram = means.new_zeros(len(means), len(means))
        with without_autocast(rows):
            for start, stop in _blocks(rows):
                channels = _both(rows, rows_prime, start, stop, means).sub_(means)
                gram.addmm_(channels, channels.T)
        return gram

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """d/dX of sum(G * X X^T) is (G + G^T) X."""
        rows, rows_prime, mean, mean_prime = ctx.saved_tensors
        means = torch.cat([mean, mean_prime])[:, None]
        symmetric = gradient + gradient.T
        to_rows, to_rows_prime = torch.empty_like(rows), torch.empty_like(rows_prime)
        with without_autocast(rows):
            for start, stop in _blocks(rows):
                channels = _both(rows, rows_prime, start, stop, means).sub_(means)
                first, second = (symmetric @ channels).chunk(2)
                to_rows[start:stop].copy_(first.T)
                to_rows_prime[start:stop].copy_(second.T)
        return to_rows, to_rows_prime, None, None


def _both(rows: Tensor, rows_prime: Tensor, start: int, stop: int, like: Tensor) -> Tensor:
    """Both views' channels at some voxels, (2C, stop - start), widened to the precision of ``like``."""
    channels = rows.shape[1]
    both = like.new_empty(2 * channels, stop - start)
    both[:channels].copy_(rows[start:stop].T)
    both[channels:].copy_(rows_prime[start:stop].T)
    return both


def _blocks(rows: Tensor) -> list[tuple[int, int]]:
    """Where blocks of voxels start and stop."""
    elements = _BLOCK_ELEMENTS_CPU if rows.device.type == "cpu" else _BLOCK_ELEMENTS_OTHER
    voxels, channels = rows.shape
    step = max(elements // channels, 1)
    return [(start, min(start + step, voxels)) for start in range(0, voxels, step)]
