"""A linear classifier of voxels: multinomial logistic regression, every class of the same weight.

The objective is convex and the optimiser starts from zeros, so that no seed has a part in it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_SMALLEST_DEVIATION = 1e-6
"""Of a channel, relative to its largest value; what varies less is rounding, and is not stretched."""
_MEMORY = 20
_TOLERANCE = 1e-8


@dataclass(frozen=True)
class LinearClassifier:
    """Scores are ((row - mean) / deviation) @ weights + bias.

    Attributes:
        mean: of the training rows' channels, (C,).
        deviation: of the same, 1 for constant ones, (C,).
        weights: (C, K).
        bias: (K,).
        labels: the K labels that there were to learn, ascending.
    """

    mean: Tensor
    deviation: Tensor
    weights: Tensor
    bias: Tensor
    labels: Tensor

    def predict(self, rows: Tensor) -> Tensor:
        """The most likely label of each row (M, C), (M,)."""
        scores = (rows.double() - self.mean) / self.deviation @ self.weights + self.bias
        return self.labels[scores.argmax(1)]


def fit_linear(rows: Tensor, labels: Tensor, *, penalty: float, iterations: int) -> LinearClassifier:
    """Fit by L-BFGS over all rows at once, in float64.

    Minimises the mean over classes of the mean cross-entropy of their rows, plus ``penalty`` / 2 times the
    squared weights; the bias is free.

    Args:
        rows: (M, C), on the CPU.
        labels: of the rows, (M,); not all need be there.
        penalty: above 0.
        iterations: at most; fewer where the gradient vanishes before.

    Raises:
        ValueError: if there are no rows, or not a label for each.
    """
    if rows.ndim != 2 or not len(rows) or labels.shape != (len(rows),):
        raise ValueError(
            f"rows must be (M, C) with a label each, got {tuple(rows.shape)} and {tuple(labels.shape)}"
        )
    mean, deviation = _moments(rows.double())
    standardised = rows.double().sub_(mean).div_(deviation)
    present, targets, counts = torch.unique(labels, return_inverse=True, return_counts=True)
    row_weights = (1.0 / (len(present) * counts.double()))[targets]
    weights = standardised.new_zeros(rows.shape[1], len(present), requires_grad=True)
    bias = standardised.new_zeros(len(present), requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weights, bias],
        max_iter=iterations,
        max_eval=2 * iterations,
        tolerance_grad=_TOLERANCE,
        tolerance_change=_TOLERANCE**2,
        history_size=_MEMORY,
        line_search_fn="strong_wolfe",
    )

    def objective() -> Tensor:
        optimiser.zero_grad()
        errors = functional.cross_entropy(standardised @ weights + bias, targets, reduction="none")
        loss: Tensor = errors @ row_weights + penalty / 2 * weights.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        optimiser.step(objective)  # type: ignore[no-untyped-call]
    return LinearClassifier(mean, deviation, weights.detach(), bias.detach(), present)


def _moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel."""
    deviation, mean = torch.std_mean(rows, dim=0, correction=0)
    varies = deviation > _SMALLEST_DEVIATION * rows.abs().amax(0)
    return mean, torch.where(varies, deviation, 1.0)
