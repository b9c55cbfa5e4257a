"""Training states and network weights, written at once and read without running code from the file."""

import json
import logging
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mixcl_auto.errors import WeightsError
from mixcl_auto.io.files import replacing

logger = logging.getLogger(__name__)


def previous_checkpoint(path: Path) -> Path:
    """Where the checkpoint before ``path`` is kept: ``checkpoint.previous.pt``."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a training state of tensors and plain Python values; the one before is kept beside it."""
    with replacing(path) as temporary:
        torch.save(state, temporary)
        if path.exists():
            path.replace(previous_checkpoint(path))


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Read the newest whole training state, on the CPU; absent if there is none.

    A truncated or damaged file is passed over, with a warning, for the one before.

    Raises:
        WeightsError: if there are files but none can be read.
    """
    candidates = [file for file in (path, previous_checkpoint(path)) if file.exists()]
    for candidate in candidates:
        try:
            state: dict[str, Any] = torch.load(candidate, map_location="cpu", weights_only=True)
        except Exception as problem:  # damaged bytes raise anything, down to IndexError
            logger.warning("%s: damaged checkpoint, passed over (%s)", candidate, _first_line(problem))
        else:
            return state
    if candidates:
        raise WeightsError(f"{path}: no readable checkpoint; remove {path.parent} to start the run again")
    return None


def save_weights(path: Path, state: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write tensors as safetensors, with text to describe them; the same content gives the same bytes."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)
        _sort_metadata(temporary)


def _sort_metadata(path: Path) -> None:
    """The library writes metadata in an order drawn anew each time, which would change the file's hash."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        if len(text) <= size:
            file.seek(8)
            file.write(text.ljust(size))


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read named tensors from safetensors, or from ``.pt``/``.pth`` files that hold nothing else.

    Raises:
        WeightsError: if the file is missing, damaged, of another kind, or holds anything but named tensors.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    if path.suffix == ".safetensors":
        with _open_safetensors(path) as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names}
    if path.suffix not in (".pt", ".pth"):
        raise WeightsError(
            f"{path}: weights are read from .safetensors, .pt or .pth files, not {path.suffix!r}"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # damaged bytes raise anything, down to IndexError
        raise WeightsError(
            f"{path}: the file is damaged, or holds Python objects beside tensors, which could run code when "
            "read; save the bare state_dict, best as .safetensors"
        ) from None
    return _named_tensors(state, path)


def weights_metadata(path: Path) -> dict[str, str]:
    """The text that describes the tensors of a safetensors file.

    Raises:
        WeightsError: if the file is missing or damaged.
    """
    with _open_safetensors(path) as file:
        return dict(file.metadata() or {})


def _open_safetensors(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError) as problem:
        raise WeightsError(
            f"{path}: the weights can't be read ({_first_line(problem)}); restore the file"
        ) from None


def _named_tensors(state: Any, path: Path) -> dict[str, torch.Tensor]:
    """The mapping of names to tensors, also where it lies under the usual key ``state_dict``."""
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"{path}: a state_dict (names to tensors) is needed; save the bare state_dict")
    return {str(name): tensor for name, tensor in state.items()}


def _first_line(problem: BaseException) -> str:
    return (str(problem).splitlines() or [type(problem).__name__])[0]
