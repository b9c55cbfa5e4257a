"""The network of a run under way, as its checkpoint holds it."""

from pathlib import Path

from torch import Tensor

from mixcl_auto.io.checkpoints import load_checkpoint


def saved_network(path: Path, step: int) -> dict[str, Tensor] | None:
    """The weights after exactly so many steps, on the CPU.

    Args:
        path: of the checkpoint, as ``save_state`` writes it.
        step: after which they are wanted.

    Returns:
        Nothing if the newest whole checkpoint was taken after another step, or there is none.

    Raises:
        WeightsError: if there are checkpoints and none can be read.
    """
    document = load_checkpoint(path)
    if document is None or document.get("step") != step:
        return None
    weights: dict[str, Tensor] = document["network"]
    return weights
