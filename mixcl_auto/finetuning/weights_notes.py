"""What a weights file says of itself, in its metadata or in the MONAI bundle that it lies in."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixcl_auto.errors import WeightsError
from mixcl_auto.io.checkpoints import weights_metadata
from mixcl_auto.io.files import read_text
from mixcl_auto.networks.backbone import Grid
from mixcl_auto.networks.transfer import token_grid
from mixcl_auto.records.record import Record


class WeightsNotes(Record):
    """What matters for starting from the weights, as far as it is known."""

    heads: int | None = None
    spacing_mm: tuple[float, float, float] | None = None
    window_hu: tuple[float, float] | None = None
    position_grid: Grid | None = None
    """Tokens along x, y and z of the position embedding."""


def read_notes(file: Path) -> WeightsNotes:
    """The notes of a weights file; nothing is known of one that is not ours and lies in no bundle.

    Raises:
        WeightsError: if the file or a bundle's description is damaged.
    """
    try:
        if file.suffix == ".safetensors":
            return _of_metadata(weights_metadata(file))
        configs = file.absolute().parent.parent / "configs"
        if file.parent.name == "models" and (configs / "export.json").is_file():
            return _of_export(_read_json(configs / "export.json"))
        if file.parent.name == "models" and (configs / "metadata.json").is_file():
            return _of_bundle(_read_json(configs / "metadata.json"))
    except (ValueError, KeyError, TypeError) as problem:
        raise WeightsError(
            f"{file}: its description can't be understood ({type(problem).__name__}: {problem}); restore the "
            "file and the bundle that it is part of, or give the bare weights"
        ) from None
    return WeightsNotes()


def _of_metadata(metadata: Mapping[str, str]) -> WeightsNotes:
    """Of our own safetensors; a fine-tuning's file names the network, a pre-training's also the rest."""
    ours = metadata.get("format", "").startswith("mixcl_auto")
    network = json.loads(metadata["network"]) if ours else {}
    grids = json.loads(metadata.get("position_grids", "{}"))
    grid = next(iter(grids.values())) if grids else None
    if grid is None and "patch_size" in network:
        grid = token_grid(network["patch_size"])
    return WeightsNotes(
        heads=network.get("heads"),
        spacing_mm=json.loads(metadata.get("spacing_mm", "null")) if ours else None,
        window_hu=json.loads(metadata.get("window_hu", "null")) if ours else None,
        position_grid=grid,
    )


def _of_export(config: Mapping[str, Any]) -> WeightsNotes:
    """Of the ``export.json`` of a bundle that we wrote."""
    given = config["input"]
    return WeightsNotes(
        heads=config["network"]["arguments"]["num_heads"],
        spacing_mm=given["spacing_mm"],
        window_hu=given["window_hu"],
        position_grid=token_grid(given["patch_size"]),
    )


def _of_bundle(metadata: Mapping[str, Any]) -> WeightsNotes:
    """Of any MONAI bundle, whose window may also be given as a rule such as ``16*n``."""
    shape = metadata["network_data_format"]["inputs"]["image"]["spatial_shape"]
    if len(shape) != 3 or not all(isinstance(side, int) for side in shape):
        return WeightsNotes()
    return WeightsNotes(position_grid=token_grid(shape))


def _read_json(path: Path) -> Any:
    return json.loads(read_text(path, what="description of a bundle", remedy="restore the bundle"))
