"""How large a batch the memory holds."""

import math

from mixcl_auto.planning.rules import Choice
from mixcl_auto.records.machine import Machine
from mixcl_auto.records.plan import NetworkPlan

_USABLE_SHARE = 0.8
"""Of the memory; the rest is for the loader, the system and what the estimate misses."""
_LIBRARIES_GB = 0.8
_BYTES_PER_PARAMETER = 16
"""Weight, gradient and AdamW's two moments, in float32."""
_BYTES_PER_ACTIVATION = {"pretrain": 190.0, "finetune": 60.0}
"""Peak growth per sample, voxel and channel of level 0, measured at 96^3, feature size 16, in bf16: a MixCL
pair with its three views (18.2 GB for a batch of 6); a fine-tuning patch, 14 classes (3.9 GB for 2)."""


def training_gb(network: NetworkPlan, section: str, batch_size: int) -> float:
    """Estimate the peak memory of one process that holds a whole batch, in GB.

    Args:
        network: its size.
        section: ``pretrain`` or ``finetune``.
        batch_size: samples at once.
    """
    activations = math.prod(network.patch_size) * network.feature_size * _BYTES_PER_ACTIVATION[section]
    return _LIBRARIES_GB + (_parameters(network) * _BYTES_PER_PARAMETER + batch_size * activations) / 1e9


def choose_batch_size(preset: int, network: NetworkPlan, section: str, machine: Machine) -> Choice:
    """The preset's batch, or the largest that fits the memory of the GPU, of the machine without one.

    Args:
        preset: samples of the global batch.
        network: its size.
        section: ``pretrain`` or ``finetune``.
        machine: its memory; the smallest GPU counts.
    """
    memory_gb = min((gpu.memory_gb for gpu in machine.accelerators), default=machine.memory_gb)
    if memory_gb is None:
        return Choice(preset, "preset", "global, split over the processes; the memory is not known")
    limit_gb = _USABLE_SHARE * memory_gb
    fitting = (size for size in range(preset, 0, -1) if training_gb(network, section, size) <= limit_gb)
    value = next(fitting, 1)
    need = f"needs some {training_gb(network, section, value):.0f} of {memory_gb:.0f} GB"
    if value == preset:
        return Choice(value, "preset", f"global, split over the processes; {need}")
    return Choice(value, f"lowered from the preset's {preset} to fit the memory", f"global; {need}")


def _parameters(network: NetworkPlan) -> float:
    """UNETR's parameters, roughly: transformer blocks, convolutions on their tokens, and all others."""
    hidden, mlp, feature = network.hidden_size, network.mlp_size, network.feature_size
    return network.layers * (4 * hidden**2 + 2 * hidden * mlp) + 400 * hidden * feature + 7000 * feature**2
