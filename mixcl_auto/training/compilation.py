"""``torch.compile`` for a network in training, where it works."""

import logging

import torch
from torch import Tensor

from mixcl_auto.networks.backbone import Backbone
from mixcl_auto.networks.mixcl import MixCLNetwork
from mixcl_auto.training.device import Precision, autocast, limited_threads

logger = logging.getLogger(__name__)

_LONGEST_REASON = 200


def compile_network(
    network: Backbone | MixCLNetwork,
    *,
    batch_size: int,
    threads: int,
    device: torch.device,
    precision: Precision,
) -> bool:
    """Compile a network's forward and backward pass, and try them once; where that fails, leave it as it was.

    Its parameters and their names stay. A step with other sizes compiles anew.

    Args:
        network: on its device; its weights and gradients are the same afterwards.
        batch_size: of the run.
        threads: that it will run on: the code for a CPU is made for their number.
        device: of the network.
        precision: of the forward pass.

    Returns:
        Whether it is compiled; if not, a warning says why.
    """
    logger.info("compiling the network, which takes a minute or more")
    network.compile()
    try:
        with limited_threads(threads):
            with autocast(device, precision):
                outputs = network(*(image.to(device) for image in network.noise(batch_size)))
            torch.autograd.backward([tensor.float().mean() for tensor in _tensors(outputs)])
    except Exception as problem:  # whatever a compiler, its code or its absence may raise
        network._compiled_call_impl = None
        reason = " ".join(str(problem).split())[:_LONGEST_REASON]
        logger.warning(
            "torch.compile failed (%s: %s); the run goes on without it. Install a C++ compiler (for a CPU) "
            "or Triton (for a GPU), or set compile to false in the plan to spare the attempt",
            type(problem).__name__,
            reason,
        )
        return False
    finally:
        network.zero_grad(set_to_none=True)
    return True


def _tensors(outputs: object) -> list[Tensor]:
    """All tensors with a graph in nested outputs."""
    if isinstance(outputs, Tensor):
        return [outputs] if outputs.requires_grad else []
    if isinstance(outputs, (list, tuple)):
        return [tensor for part in outputs for tensor in _tensors(part)]
    return []
