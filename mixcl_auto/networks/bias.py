"""The output layer's bias at the classes' log frequencies: a start for small networks on small organs."""

from collections.abc import Sequence

import torch

from mixcl_auto.networks.backbone import Backbone


def set_output_bias(network: Backbone, class_frequencies: Sequence[float], *, floor: float = 1e-6) -> None:
    """Let a network that sees nothing predict the classes as often as they occur.

    softmax(log f) = f: the first steps are not spent on learning that most voxels are background (Lin et al.
    2017, section 4.1, the prior of the focal loss).

    Args:
        network: the segmenter, changed in place.
        class_frequencies: each class's share of the training voxels, background first; counts do as well.
        floor: the least share that a class is given, so that an absent one keeps a finite bias.

    Raises:
        ValueError: for frequencies that do not fit the network's output, are negative or not finite, or are
            all 0.
    """
    bias = network.output_bias()
    frequencies = torch.tensor(list(class_frequencies), dtype=torch.float64)
    if len(frequencies) != len(bias):
        raise ValueError(
            f"class_frequencies must have an entry per output channel, got {len(frequencies)} for {len(bias)}"
        )
    if not frequencies.isfinite().all() or (frequencies < 0).any() or frequencies.sum() == 0:
        raise ValueError(
            f"class_frequencies must be finite, at least 0 and not all 0, got {list(class_frequencies)}"
        )
    shares = (frequencies / frequencies.sum()).clamp(min=floor)
    with torch.no_grad():
        bias.copy_(shares.log())
