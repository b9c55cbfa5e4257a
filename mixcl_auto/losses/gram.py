"""Gram matrices over voxels, without a float32 copy of the maps.

Level 0 of a 96^3 patch has 884,736 voxels. Centring two views of it in float32 and letting autograd keep the
copies costs eight times as long as the two passes here, which widen a block of voxels at a time.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from mixcl_auto.losses.precision import without_autocast
from mixcl_auto.losses.voxels import blocks_of_rows


def joint_gram(rows: Tensor, rows_prime: Tensor, mean: Tensor, mean_prime: Tensor) -> Tensor:
    """Sum over voxels of the outer products of both views' centred channels.

    With x_m the 2C centred channels of both views at voxel m: sum_m x_m x_m^T. The means are taken as
    constants; see :func:`mixcl_auto.losses.identity_consistency.view_means`.

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
        means = torch.cat([mean, mean_prime])
        gram = means.new_zeros(len(means), len(means))
        with without_autocast(rows):
            for start, stop in blocks_of_rows(rows):
                centred = _both(rows, rows_prime, start, stop, means).sub_(means)
                gram.addmm_(centred.T, centred)
        return gram

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """d/dX of sum(G * X^T X) is X (G + G^T), for X with a voxel per row."""
        rows, rows_prime, mean, mean_prime = ctx.saved_tensors
        means, channels = torch.cat([mean, mean_prime]), len(mean)
        symmetric = gradient + gradient.T
        to_rows, to_rows_prime = torch.empty_like(rows), torch.empty_like(rows_prime)
        with without_autocast(rows):
            for start, stop in blocks_of_rows(rows):
                both = _both(rows, rows_prime, start, stop, means).sub_(means) @ symmetric
                to_rows[start:stop].copy_(both[:, :channels])
                to_rows_prime[start:stop].copy_(both[:, channels:])
        return to_rows, to_rows_prime, None, None


def _both(rows: Tensor, rows_prime: Tensor, start: int, stop: int, like: Tensor) -> Tensor:
    """Both views' channels at some voxels, (stop - start, 2C), widened to the precision of ``like``."""
    channels = rows.shape[1]
    both = like.new_empty(stop - start, 2 * channels)
    both[:, :channels].copy_(rows[start:stop])
    both[:, channels:].copy_(rows_prime[start:stop])
    return both


def channel_means(rows: Tensor) -> Tensor:
    """Mean over voxels of each channel, (C,), in float32 or wider, without a wide copy of the rows (M, C)."""
    precision = torch.promote_types(rows.dtype, torch.float32)
    total = rows.new_zeros(rows.shape[1], dtype=precision)
    for start, stop in blocks_of_rows(rows):
        total += rows[start:stop].to(precision).sum(0)
    return total / len(rows)
