"""How much of the encoder's gradient each term of Eq. 2 is."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter


def gradient_shares(
    weighted_terms: Mapping[str, Tensor], parameters: Sequence[Parameter]
) -> dict[str, Tensor]:
    """The norm of each term's gradient over the sum of these norms.

    A common factor, such as the scale of fp16, cancels out. The graph is kept for the step's own backward
    pass.

    Args:
        weighted_terms: 0-d, with the weights that they have in the loss.
        parameters: the encoder's.

    Returns:
        A 0-d tensor per term; NaN where no term has a gradient.
    """
    norms = {name: _gradient_norm(term, parameters) for name, term in weighted_terms.items()}
    total = torch.stack(list(norms.values())).sum()
    return {name: norm / total for name, norm in norms.items()}


def _gradient_norm(term: Tensor, parameters: Sequence[Parameter]) -> Tensor:
    gradients = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    return torch.nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None])
