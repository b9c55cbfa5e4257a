"""Carry an encoder's weights from one network into another."""

import math
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mixcl_auto.errors import WeightsError
from mixcl_auto.networks.backbone import Backbone, Grid
from mixcl_auto.networks.monai_weights import current_form, renamed
from mixcl_auto.networks.unetr import TOKEN_SIDE

_WRAPPERS = re.compile(r"^(?:(?:module|_orig_mod|backbone)\.)+")
"""What data-parallel training, compilation and the MixCL network put before a backbone's names."""

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class LoadedReport:
    """What :func:`load_encoder` did, by names of tensors.

    Attributes:
        loaded: the encoder's tensors that came from the source.
        interpolated: those of ``loaded`` that were resampled to another patch size.
        ignored: tensors of the source that were not wanted: decoder, output layer, projectors, and those of
            the encoder that ``keep`` named.
        kept: the encoder's tensors that stay as they were, where the source is a ViT without convolutions.
    """

    loaded: tuple[str, ...]
    interpolated: tuple[str, ...]
    ignored: tuple[str, ...]
    kept: tuple[str, ...] = ()


def load_encoder(
    network: Backbone,
    state_dict: Mapping[str, Tensor],
    *,
    position_grid: Grid | None = None,
    keep: Collection[str] = (),
) -> LoadedReport:
    """Load an encoder's weights into a network; the decoder stays as it is.

    Every tensor of the encoder must be there, but for a source that is a ViT alone.

    Args:
        network: changed in place.
        state_dict: an encoder's tensors, a whole backbone's, or a whole MixCL network's, also in the forms
            that :mod:`mixcl_auto.networks.monai_weights` knows.
        position_grid: tokens along x, y and z of the source's position embedding; needed where it differs
            from the network's and is not a cube.
        keep: the encoder's tensors that stay as they are, whatever the source has for them.

    Returns:
        What was loaded, interpolated and ignored.

    Raises:
        WeightsError: when an encoder tensor is missing, superfluous, there twice, not of floating-point
            numbers, not finite or of another shape. The network is then unchanged.
    """
    prefix = _common_prefix(network, state_dict)
    named = renamed(state_dict, lambda name: _WRAPPERS.sub("", name.removeprefix(prefix)))
    target = network.encoder_state_dict()
    form = current_form(named, target)
    source = {name: tensor for name, tensor in form.tensors.items() if network.is_encoder_key(name)}
    _refuse_other_numbers({name: tensor for name, tensor in source.items() if name in target})
    interpolated = _fit_positions(network, source, target, position_grid)
    _refuse_misfits(source, target, form.unused | form.absent)
    wanted = source.keys() - set(keep)
    with torch.no_grad():
        for name in wanted:
            target[name].copy_(source[name])
    ignored = sorted([*form.dropped, *(name for name in form.tensors if name not in wanted)])
    kept = sorted(form.absent - source.keys())
    return LoadedReport(tuple(sorted(wanted)), interpolated, tuple(ignored), tuple(kept))


def token_grid(patch_size: Grid) -> Grid:
    """Tokens along x, y and z of a patch."""
    x, y, z = patch_size
    return x // TOKEN_SIDE, y // TOKEN_SIDE, z // TOKEN_SIDE


def interpolate_positions(positions: Tensor, source_grid: Grid, target_grid: Grid) -> Tensor:
    """Resample a position embedding (1, tokens, channels) to another token grid, trilinearly."""
    volume = positions.detach().float().transpose(1, 2).reshape(1, -1, *source_grid)
    resampled = functional.interpolate(volume, size=target_grid, mode="trilinear", align_corners=False)
    return resampled.flatten(2).transpose(1, 2).to(positions.dtype)


def _common_prefix(network: Backbone, names: Collection[str]) -> str:
    """What stands before every name, such as ``net.``, where no name is an encoder's as it is."""
    if any(map(network.is_encoder_key, names)):
        return ""
    common = os.path.commonprefix(list(names))  # noqa: RUF071 -- they are no paths
    return common[: common.rfind(".") + 1]


def _refuse_other_numbers(source: Mapping[str, Tensor]) -> None:
    """Integers would be taken for weights, complex ones cut, and float8 ones are beyond most of torch."""
    others = [f"{name} ({tensor.dtype})" for name, tensor in source.items() if tensor.dtype not in _FLOATS]
    if others:
        raise WeightsError(
            f"{len(others)} of the encoder's tensors hold no floating-point numbers of 16, 32 or 64 bits: "
            f"{_first_few(others)}; save the weights as float32"
        )


def _fit_positions(
    network: Backbone, source: dict[str, Tensor], target: Mapping[str, Tensor], position_grid: Grid | None
) -> tuple[str, ...]:
    """Bring the position embeddings of ``source`` to the network's grid; the names of those that changed."""
    changed = []
    for name, target_grid in network.position_grids.items():
        positions = source.get(name)
        if positions is None or positions.ndim != 3 or positions.shape[2] != target[name].shape[2]:
            continue  # a misfit, reported with all others
        source_grid = position_grid or _guess_grid(name, positions.shape[1], target_grid)
        if min(source_grid) < 1 or math.prod(source_grid) != positions.shape[1]:
            raise WeightsError(
                f"the source's token grid {source_grid} does not hold the {positions.shape[1]} tokens of "
                f"{name!r}; correct the patch size, {TOKEN_SIDE} voxels a token, that the file's metadata or "
                "its bundle's configs/metadata.json name"
            )
        if source_grid != target_grid:
            source[name] = interpolate_positions(positions, source_grid, target_grid)
            changed.append(name)
    return tuple(changed)


def _guess_grid(name: str, tokens: int, target_grid: Grid) -> Grid:
    """The network's own grid where the number of tokens is the same, else a cube."""
    if tokens == math.prod(target_grid):
        return target_grid
    side = round(tokens ** (1 / 3))
    if side**3 != tokens:
        raise WeightsError(
            f"the {tokens} tokens of {name!r} form no cube, and the network's grid is {target_grid}; "
            "set network.patch_size to the source's, or give that as spatial_shape in configs/metadata.json "
            "of the MONAI bundle that the weights are part of"
        )
    return (side, side, side)


def _refuse_misfits(
    source: Mapping[str, Tensor], target: Mapping[str, Tensor], optional: Collection[str]
) -> None:
    """Raise one error that names every kind of misfit."""
    shared = sorted(source.keys() & target.keys())
    problems = {
        "missing": sorted(target.keys() - source.keys() - set(optional)),
        "not in this network (a deeper encoder?)": sorted(source.keys() - target.keys()),
        "of another shape": [
            f"{name} {tuple(source[name].shape)} instead of {tuple(target[name].shape)}"
            for name in shared
            if source[name].shape != target[name].shape
        ],
        "not finite": [name for name in shared if not source[name].isfinite().all()],
    }
    found = [f"{len(names)} {kind}: {_first_few(names)}" for kind, names in problems.items() if names]
    if found:
        raise WeightsError(
            f"the weights do not fit this encoder of {len(target)} tensors: {'; '.join(found)}. "
            "Use weights of the same feature size, hidden size and layers, or set the network "
            "section of the plan to theirs"
        )


def _first_few(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
