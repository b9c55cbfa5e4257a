"""How much of the encoder's gradient each term of Eq. 2 is."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from mixcl_auto.distributed.ranks import ALONE, Ranks


def gradient_shares(
    weighted_terms: Mapping[str, Tensor], parameters: Sequence[Parameter], ranks: Ranks = ALONE
) -> dict[str, Tensor]:
    """The norm of each term's gradient over the sum of these norms.

    A common factor, such as the scale of fp16, cancels out. The graph is kept for the step's own backward
    pass.

    Args:
        weighted_terms: 0-d, with the weights that they have in the loss.
        parameters: the encoder's.
        ranks: the processes that hold a part of the batch each; gradients are averaged over them first.

    Returns:
        A 0-d tensor per term; NaN where no term has a gradient.
    """
    norms = {name: _gradient_norm(term, parameters, ranks) for name, term in weighted_terms.items()}
    total = torch.stack(list(norms.values())).sum()
    return {name: norm / total for name, norm in norms.items()}


def _gradient_norm(term: Tensor, parameters: Sequence[Parameter], ranks: Ranks) -> Tensor:
    gradients = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    return torch.nn.utils.get_total_norm(
        ranks.mean([gradient for gradient in gradients if gradient is not None])
    )
