"""Carry an encoder's weights from one network into another."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mixcl_auto.errors import WeightsError
from mixcl_auto.networks.backbone import Backbone, Grid

_WRAPPERS = re.compile(r"^(?:(?:module|_orig_mod|backbone)\.)+")
"""What data-parallel training, compilation and the MixCL network put before a backbone's names."""


@dataclass(frozen=True)
class LoadedReport:
    """What :func:`load_encoder` did, by names of tensors.

    Attributes:
        loaded: the encoder's tensors, all of them.
        interpolated: those of ``loaded`` that were resampled to another patch size.
        ignored: tensors of the source that belong to no encoder: decoder, output layer, projectors.
    """

    loaded: tuple[str, ...]
    interpolated: tuple[str, ...]
    ignored: tuple[str, ...]


def load_encoder(
    network: Backbone, state_dict: Mapping[str, Tensor], *, position_grid: Grid | None = None
) -> LoadedReport:
    """Load an encoder's weights into a network, all or none; the decoder stays as it is.

    Args:
        network: changed in place.
        state_dict: an encoder's tensors, a whole backbone's, or a whole MixCL network's.
        position_grid: tokens along x, y and z of the source's position embedding; needed where it differs
            from the network's and is not a cube.

    Returns:
        What was loaded, interpolated and ignored.

    Raises:
        WeightsError: when an encoder tensor is missing, superfluous, not finite or of another shape. The
            network is then unchanged.
    """
    named = {_WRAPPERS.sub("", name): tensor for name, tensor in state_dict.items()}
    source = {name: tensor for name, tensor in named.items() if network.is_encoder_key(name)}
    target = network.encoder_state_dict()
    interpolated = _fit_positions(network, source, target, position_grid)
    _refuse_misfits(source, target)
    with torch.no_grad():
        for name, tensor in target.items():
            tensor.copy_(source[name])
    ignored = tuple(sorted(name for name in named if name not in source))
    return LoadedReport(tuple(sorted(target)), interpolated, ignored)


def interpolate_positions(positions: Tensor, source_grid: Grid, target_grid: Grid) -> Tensor:
    """Resample a position embedding (1, tokens, channels) to another token grid, trilinearly."""
    volume = positions.detach().float().transpose(1, 2).reshape(1, -1, *source_grid)
    resampled = functional.interpolate(volume, size=target_grid, mode="trilinear", align_corners=False)
    return resampled.flatten(2).transpose(1, 2).to(positions.dtype)


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
        if math.prod(source_grid) != positions.shape[1]:
            raise WeightsError(
                f"position_grid {source_grid} does not hold the {positions.shape[1]} tokens of {name!r}; "
                "give the patch size that the weights were trained with, divided by 16"
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
            "give the source's grid as position_grid"
        )
    return (side, side, side)


def _refuse_misfits(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    """Raise one error that names every kind of misfit."""
    shared = sorted(source.keys() & target.keys())
    problems = {
        "missing": sorted(target.keys() - source.keys()),
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
