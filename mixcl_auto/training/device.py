"""Which device trains, in which precision, with how many threads."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch

from mixcl_auto.distributed.launch import Launch
from mixcl_auto.errors import RunError

Precision = Literal["bf16", "fp16", "fp32"]

_SMALLEST_BF16_SIDE = 32
"""Smaller patches end in convolutions over 2 voxels, whose bf16 weight gradient reads memory that nobody has
written (torch 2.13, oneDNN on AMX: NaN in a third of the trials, and silently wrong in the others)."""

_AUTOCAST_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str | torch.device | None = None, launch: Launch | None = None) -> torch.device:
    """The device of that name; without one the first GPU, or the CPU where there is none.

    Args:
        name: as torch spells it: ``cpu``, ``cuda``, ``cuda:1``.
        launch: of several processes on a machine each takes the GPU of its own number.

    Raises:
        RunError: if the name is unknown, this machine has no such device, or fewer GPUs than processes.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise RunError(f"unknown device {name!r}; write cpu, cuda or cuda:1") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise RunError(
            f"no device {name}: this machine has {torch.cuda.device_count()} CUDA device(s); use cpu"
        )
    if device.type not in ("cpu", "cuda"):
        raise RunError(f"training runs on cpu and cuda devices, not on {name}")
    if device.type == "cpu":
        return device
    if launch is not None and launch.local_count > 1:
        return torch.device("cuda", _gpu_of(launch))
    return torch.device("cuda", device.index or 0)


def _gpu_of(launch: Launch) -> int:
    """The GPU of one of several processes on this machine."""
    gpus = torch.cuda.device_count()
    if launch.local_count > gpus:
        raise RunError(
            f"{launch.local_count} processes on a machine with {gpus} CUDA device(s), which take "
            f"one each; start {gpus} (torchrun --nproc-per-node {gpus}), or train with --device cpu"
        )
    return launch.local_rank


def resolve_precision(
    plan_value: str, device: torch.device, patch_size: Sequence[int] | None = None
) -> Precision:
    """What ``precision`` of a plan means on a device.

    ``auto`` is bf16 where the device computes in it (for CPUs: AMX or AVX-512 BF16), else fp16 with a
    gradient scaler on CUDA, else fp32. On a CPU a patch with a side of 16 is computed in fp32.

    Args:
        plan_value: ``auto``, ``bf16``, ``fp16`` or ``fp32``.
        device: that computes.
        patch_size: of the network that trains on it, in voxels.

    Raises:
        RunError: for fp16 on a CPU, bf16 on a CPU with a patch side of 16, or a value that no plan has.
    """
    too_small = device.type == "cpu" and min(patch_size or (_SMALLEST_BF16_SIDE,)) < _SMALLEST_BF16_SIDE
    if plan_value == "auto":
        if _computes_in_bf16(device) and not too_small:
            return "bf16"
        return "fp16" if device.type == "cuda" else "fp32"
    if plan_value == "fp16" and device.type != "cuda":
        raise RunError("precision fp16 needs a CUDA device; set it to auto, bf16 or fp32")
    if plan_value == "bf16" and too_small:
        raise RunError(
            "precision bf16 can't train patches with a side of 16 on a CPU, where the gradients of "
            "convolutions over 2 voxels are wrong; set it to auto or fp32"
        )
    for precision in ("bf16", "fp16", "fp32"):
        if plan_value == precision:
            return precision
    raise RunError(f"unknown precision {plan_value!r}; write auto, bf16, fp16 or fp32")


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """The context in which the network computes: half precision where that is safe, nothing under fp32."""
    dtype = _AUTOCAST_TYPES.get(precision, torch.bfloat16)
    return torch.autocast(device.type, dtype=dtype, enabled=precision != "fp32")


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Compute with that many CPU threads inside the block; sums, and so results, depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def deterministic(device: torch.device, *, wanted: bool) -> Iterator[None]:
    """Have a GPU compute the same to the bit each time inside the block; a CPU does in any case.

    cuBLAS must have been told before its first use, by CUBLAS_WORKSPACE_CONFIG=:4096:8, as the command line
    does; else torch says so.

    Args:
        device: that computes.
        wanted: whether; kernels that add in no fixed order are faster.
    """
    if not wanted or device.type != "cuda":
        yield
        return
    enabled, warns = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    tunes = torch.backends.cudnn.benchmark
    checks: Any = torch.utils.deterministic  # its one setting is made at run time
    fills, checks.fill_uninitialized_memory = checks.fill_uninitialized_memory, False  # costs a pass each
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warns)
        torch.backends.cudnn.benchmark = tunes
        checks.fill_uninitialized_memory = fills


def _computes_in_bf16(device: torch.device) -> bool:
    """Whether bf16 is in the hardware and not emulated."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # torch.cpu.get_capabilities came after the oldest torch that we accept.
    read = getattr(torch.cpu, "get_capabilities", None)
    capabilities = read() if read is not None else {}
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
