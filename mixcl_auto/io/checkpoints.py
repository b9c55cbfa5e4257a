"""Training states and network weights, written at once and read without running code from the file."""

import errno
import json
import logging
import pickle
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from mixcl_auto.errors import WeightsError
from mixcl_auto.io.files import replacing, sync
from mixcl_auto.io.workspace import previous_checkpoint

logger = logging.getLogger(__name__)

_LENGTH_BYTES = 8
"""A safetensors file begins with the length of its header, in JSON."""


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a training state of tensors and plain Python values; the one before is kept beside it.

    Raises:
        OSError: if it can't be written; the files that were there stay.
    """
    with replacing(path) as temporary:
        _save(temporary, path, state)
        sync(temporary)
        if path.exists():
            path.replace(previous_checkpoint(path))


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain Python values, in place of a file that may be there.

    Raises:
        OSError: if it can't be written.
    """
    with replacing(path) as temporary:
        _save(temporary, path, state)


def read_state(path: Path) -> dict[str, Any]:
    """Read what ``write_state`` wrote, on the CPU; nothing in it is run.

    Raises:
        WeightsError: if it is missing, damaged or of another kind.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        state = _load(path)
    except Exception as problem:  # damaged bytes raise anything, down to IndexError
        raise WeightsError(f"{path}: the file can't be read ({_reason(problem)})") from None
    if not isinstance(state, dict):
        raise WeightsError(f"{path}: a {type(state).__name__}, where names and values are needed")
    return state


def _save(temporary: Path, path: Path, state: dict[str, Any]) -> None:
    with temporary.open("wb") as file:  # given a path, torch would not say that the disk is full
        try:
            torch.save(state, file)
        except RuntimeError as problem:  # nor does it always, given a file
            reason = f"the state could not be written ({_first_line(problem)}); the disk may be full"
            raise OSError(errno.EIO, reason, str(path)) from problem


def _load(path: Path) -> Any:
    """What ``_save`` wrote, if its check sums hold; any exception otherwise."""
    _check_sums(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Read the newest whole training state, on the CPU; absent if there is none.

    A truncated or damaged file is passed over, with a warning, for the one before, and removed.

    Raises:
        WeightsError: if there are files but none can be read.
    """
    candidates = [file for file in (path, previous_checkpoint(path)) if file.exists()]
    for candidate in candidates:
        try:
            state: dict[str, Any] = _load(candidate)
        except Exception as problem:  # damaged bytes raise anything, down to IndexError
            logger.warning("%s: damaged checkpoint, passed over (%s)", candidate, _reason(problem))
        else:
            if candidate != path and path.exists():
                logger.warning("%s: going back to the checkpoint before", candidate)
                path.unlink(missing_ok=True)  # the next save would put it in the place of the good one
            return state
    if candidates:
        raise WeightsError(f"{path}: no readable checkpoint; remove {path.parent} to start the run again")
    return None


def _check_sums(path: Path) -> None:
    """See that every part of a file of torch, a zip archive, has its check sum, which torch does not look at.

    Raises:
        zipfile.BadZipFile: if not.
    """
    with zipfile.ZipFile(path) as archive:
        _check_sizes(archive, path)
        if (damaged := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"{damaged} does not have its check sum")


def _check_sizes(archive: zipfile.ZipFile, path: Path) -> None:
    """See that an archive holds no more than its size: torch compresses nothing, and a bomb would.

    Raises:
        zipfile.BadZipFile: if not.
    """
    parts = archive.infolist()
    is_compressed = any(part.compress_type != zipfile.ZIP_STORED for part in parts)
    if is_compressed or sum(part.file_size for part in parts) > path.stat().st_size:
        raise zipfile.BadZipFile("it is compressed, or says that it holds more than its size")


def save_weights(path: Path, state: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write tensors as safetensors, with text to describe them; the same content gives the same bytes.

    Raises:
        OSError: if the file can't be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    content = save(tensors, metadata=metadata)
    size = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content[:_LENGTH_BYTES])
        file.write(_sorted_metadata(content[_LENGTH_BYTES:size]))
        file.write(memoryview(content)[size:])


def _sorted_metadata(header: bytes) -> bytes:
    """The library writes metadata in an order drawn anew each time, which would change the file's hash."""
    document = json.loads(header)
    document["__metadata__"] = dict(sorted(document["__metadata__"].items()))
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return text.ljust(len(header)) if len(text) <= len(header) else header


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read named tensors from safetensors, or from ``.pt``/``.pth`` files that hold no other objects.

    Raises:
        WeightsError: if the file is missing, damaged, of another kind, does not hold one mapping of names to
            tensors, or holds tensors that are no plain arrays.
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
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                _check_sizes(archive, path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, on kinds of pickle that are refused anyway
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # damaged bytes raise anything, down to IndexError
        raise WeightsError(
            f"{path}: the file is damaged, or holds Python objects beside tensors, which could run code when "
            "read; save the bare state_dict, best as .safetensors"
        ) from None
    tensors = {str(name): tensor for name, tensor in _state_dict(state, path).items()}
    odd = [name for name, tensor in tensors.items() if not _is_array(tensor)]
    if odd:
        raise WeightsError(
            f"{path}: {_first_few(odd)}: sparse, expanded, or without values (meta); save dense tensors"
        )
    return tensors


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


def _state_dict(state: Any, path: Path) -> dict[Any, torch.Tensor]:
    """The mapping of names to tensors, also as the value of ``state_dict`` or the only one of its kind."""
    if _names_tensors(state):
        return dict(state)
    values = state if isinstance(state, dict) else {}
    inner = {key: value for key, value in values.items() if _names_tensors(value)}
    if "state_dict" in inner or len(inner) == 1:
        return dict(inner.get("state_dict") or next(iter(inner.values())))
    if inner:
        found = f"several: {_first_few(inner)}"
    else:
        found = f"a {type(state).__name__}" + (f" with {_first_few(values)}" if values else " without names")
    raise WeightsError(
        f"{path}: a state_dict (names to tensors) is needed, the file holds {found}; save the bare state_dict"
    )


def _names_tensors(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and len(value) > 0
        and all(isinstance(tensor, torch.Tensor) for tensor in value.values())
    )


def _is_array(tensor: torch.Tensor) -> bool:
    """Whether a tensor has a value in the file for each of its elements."""
    if tensor.layout != torch.strided or tensor.is_meta:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _first_few(names: Iterable[Any], most: int = 5) -> str:
    shown = [str(name)[:60] for name in names]
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")


def _reason(problem: BaseException) -> str:
    """Why a file could not be read, without torch's advice to trust it."""
    if isinstance(problem, pickle.UnpicklingError):
        return "it holds more than tensors and plain values, which could run code when read"
    return _first_line(problem)


def _first_line(problem: BaseException) -> str:
    return (str(problem).splitlines() or [type(problem).__name__])[0]
