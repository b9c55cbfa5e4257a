"""Embeddings as the losses take them: whole, or as features and a head."""

from torch import Tensor

Embedding = Tensor | tuple[Tensor, Tensor]
"""A map of embeddings (B, C, X, Y, Z); or features (B, c, X, Y, Z) with a head (C, c), for Z = head @
features.

A factored one is never multiplied out: Eq. 5 needs the Gram matrices of the features, Eq. 6 the sampled
voxels.
"""


def factors(embedding: Embedding | None, name: str) -> tuple[Tensor, Tensor | None]:
    """Features and head of an embedding; a whole one has no head."""
    if embedding is None:
        raise ValueError(f"{name} must be given for the terms that are on, got None")
    return embedding if isinstance(embedding, tuple) else (embedding, None)
