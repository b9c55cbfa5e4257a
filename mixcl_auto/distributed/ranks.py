"""The processes that share a batch, and sums over them that gradients pass through."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

Value = TypeVar("Value")


@dataclass(frozen=True)
class Ranks:
    """This process among those of its group; without arguments it is alone and never communicates.

    With more than one, every method but the properties is collective: all processes call it, in the same
    order.

    Attributes:
        number: of this process, from 0.
        count: of processes.
        local_count: of those on this machine.
    """

    number: int = 0
    count: int = 1
    local_count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.number == 0

    def share(self, total: int) -> range:
        """This process's part of so many things in a row; ``count`` must divide their number."""
        each = total // self.count
        return range(self.number * each, (self.number + 1) * each)

    def sum(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Sum tensors over all processes in one collective, with a gradient.

        It is meant for the sums that a loss is made of: from the results every process computes the same
        loss, and the gradients of its parameters, averaged over the processes as data-parallel training does,
        are those of that loss.

        Args:
            tensors: of the same shapes everywhere; packed in the widest of their types.

        Returns:
            The sums, in the tensors' shapes and types.
        """
        if self.count == 1 or not tensors:
            return list(tensors)
        widest = reduce(torch.promote_types, (tensor.dtype for tensor in tensors))
        packed = torch.cat([tensor.to(widest).flatten() for tensor in tensors])
        apply = cast(Callable[[Tensor, int], Tensor], _SumOverRanks.apply)
        parts = torch.split(apply(packed, self.count), [tensor.numel() for tensor in tensors])
        return [part.view_as(one).to(one.dtype) for part, one in zip(parts, tensors, strict=True)]

    def mean(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Average tensors over all processes, without a gradient."""
        if self.count == 1:
            return list(tensors)
        return [total / self.count for total in self.sum([tensor.detach() for tensor in tensors])]

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether any process says yes; waits for the device."""
        if self.count == 1:
            return flag
        return bool(self.sum([torch.tensor(float(flag), device=device)])[0].item())

    def gather(self, value: Value) -> list[Value]:
        """The value of every process, in order; plain Python values, sent in pickled form."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values


ALONE = Ranks()
"""The only process."""


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, packed: Tensor, count: int) -> Tensor:
        ctx.count = count
        total = packed.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """The sum over processes of their gradients, which are equal: no second collective is needed.

        Left at ``gradient``, as a plain ``all_reduce`` leaves it, averaging over the processes would give
        1/count of the right result.
        """
        return gradient * ctx.count, None
