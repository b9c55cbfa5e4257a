"""Section 2.3, "Pixel Sampling": a budget of r voxels per class, drawn by the weights of Eq. 7."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def sample_voxels(
    labels: Tensor,
    weights: Tensor,
    voxels_per_class: int,
    *,
    classes: Sequence[int],
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Draw up to r voxels of each class without replacement, one after another by weight.

    Gumbel top-k (Kool et al. 2019): the k largest of log(weight) + Gumbel noise are a draw without
    replacement, with no loop and no synchronisation. The noise is -log of an exponential variate, which
    resolves the upper tail better than -log(-log(uniform)).

    Args:
        labels: label of each voxel, (N,).
        weights: sampling weight of each voxel, (N,), at least 0; a voxel of weight 0 is never drawn.
        voxels_per_class: the budget r.
        classes: the labels to draw for, background included where it is wanted.
        generator: on the device of ``labels``.

    Returns:
        ``indices`` into the N voxels and their ``validity``, both (len(classes), min(voxels_per_class, N)).
        A class with fewer voxels than that has each of them once; the entries left over have index 0 and
        validity False.

    Raises:
        ValueError: for labels and weights that are not two vectors of one length, or a budget below 1.
    """
    if labels.ndim != 1 or labels.shape != weights.shape:
        raise ValueError(
            "labels and weights must be vectors of one length, "
            f"got {tuple(labels.shape)} and {tuple(weights.shape)}"
        )
    if voxels_per_class < 1:
        raise ValueError(f"voxels_per_class must be at least 1, got {voxels_per_class}")
    keys = _gumbel_keys(weights, generator)
    per_class = torch.where(labels == class_column(classes, labels.device), keys, -math.inf)
    top_keys, top_indices = per_class.topk(min(voxels_per_class, len(labels)), dim=1)
    validity = top_keys > -math.inf
    return top_indices.where(validity, 0), validity


def class_column(classes: Sequence[int], device: torch.device) -> Tensor:
    """The classes as a (K, 1) tensor; a range is made on the device, so that nothing is copied to it."""
    if isinstance(classes, range):
        return torch.arange(classes.start, classes.stop, classes.step, device=device)[:, None]
    return torch.tensor(list(classes), dtype=torch.int64, device=device)[:, None]


def _gumbel_keys(weights: Tensor, generator: torch.Generator) -> Tensor:
    """Perturbed log-weights, (N,); -inf for a weight of 0."""
    waiting_time = torch.empty_like(weights, dtype=torch.float32).exponential_(generator=generator)
    smallest = torch.finfo(torch.float32).tiny
    return weights.float().log() - waiting_time.clamp(min=smallest).log()
