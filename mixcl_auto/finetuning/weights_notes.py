"""What a weights file says of itself, in its metadata or in the MONAI bundle that it lies in.

The file may come from anybody: sizes are counts within bounds, and pydantic's reader of JSON refuses nesting
and numbers without end.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AliasPath, ConfigDict, Field, Json, PositiveFloat, ValidationError, model_validator

from mixcl_auto.errors import WeightsError
from mixcl_auto.io.checkpoints import weights_metadata
from mixcl_auto.io.files import read_text
from mixcl_auto.networks.transfer import token_grid
from mixcl_auto.records.names import PlainName
from mixcl_auto.records.plan_fields import Term
from mixcl_auto.records.record import Record

_LONGEST = 1_000_000
"""Characters of a description; ours have some thousands."""

Method = Literal["mixcl", "supervised", "unknown"]
Count = Annotated[int, Field(strict=True, ge=1, le=4096)]
Counts = tuple[Count, Count, Count]
Spacing = tuple[PositiveFloat, PositiveFloat, PositiveFloat]
Window = tuple[float, float]


class WeightsNotes(Record):
    """What matters for starting from the weights, as far as it is known."""

    heads: Count | None = None
    spacing_mm: Spacing | None = None
    window_hu: Window | None = None
    position_grid: Counts | None = None
    """Tokens along x, y and z of the position embedding."""
    method: Method = "unknown"
    """How an encoder was pre-trained."""
    without: tuple[Term, ...] = ()
    """Terms of Eq. 2 that its pre-training left out."""
    hands_on_level_0: bool = True
    """Whether a fine-tuning starts from what level 0 alone has learnt."""
    pool: tuple[PlainName, ...] = ()
    """The datasets that an encoder, or a segmenter's initial weights, have seen."""
    dataset: PlainName | None = None
    """What a segmenter was fine-tuned on."""


class _Part(Record):
    """What is read of a document that holds more."""

    model_config = ConfigDict(extra="ignore")


class _Network(_Part):
    heads: Count | None = None
    patch_size: Counts | None = None


class _Metadata(_Part):
    """Of our own safetensors; a fine-tuning's file names the network, a pre-training's also the rest."""

    format: str
    method: str = "mixcl"  # at first they named none
    without: Json[tuple[Term, ...]] = ()
    hands_on_level_0: Json[bool] = True
    pool: Json[tuple[PlainName, ...]] = ()
    dataset: PlainName | None = None
    network: Json[_Network]
    spacing_mm: Json[Spacing] | None = None
    window_hu: Json[Window] | None = None
    patch_size: Json[Counts] | None = None
    position_grids: Json[dict[str, Counts]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_grid(self) -> Self:
        if len(self._grids()) > 1:
            raise ValueError("position_grids, patch_size and network.patch_size contradict each other")
        return self

    def _grids(self) -> set[Counts]:
        patches = filter(None, (self.patch_size, self.network.patch_size))
        return {*self.position_grids.values(), *map(token_grid, patches)}

    def notes(self) -> WeightsNotes:
        is_encoder = self.format.startswith("mixcl_auto encoder")
        return WeightsNotes(
            heads=self.network.heads,
            spacing_mm=self.spacing_mm,
            window_hu=self.window_hu,
            position_grid=next(iter(self._grids()), None),
            method="unknown" if not is_encoder else "supervised" if self.method == "supervised" else "mixcl",
            without=self.without,
            hands_on_level_0=self.hands_on_level_0,
            pool=self.pool,
            dataset=self.dataset,
        )


class _Export(_Part):
    """The ``export.json`` of a bundle that we wrote."""

    heads: Count = Field(validation_alias=AliasPath("network", "arguments", "num_heads"))
    spacing_mm: Spacing = Field(validation_alias=AliasPath("input", "spacing_mm"))
    window_hu: Window = Field(validation_alias=AliasPath("input", "window_hu"))
    patch_size: Counts = Field(validation_alias=AliasPath("input", "patch_size"))
    dataset: PlainName | None = Field(default=None, validation_alias=AliasPath("origin", "dataset"))
    pool: tuple[PlainName, ...] = Field(default=(), validation_alias=AliasPath("origin", "pool"))

    def notes(self) -> WeightsNotes:
        known = self.model_dump(exclude={"patch_size"})
        return WeightsNotes(**known, position_grid=token_grid(self.patch_size))


class _Bundle(_Part):
    """The ``metadata.json`` of any MONAI bundle, whose window may also be a rule such as ``16*n``."""

    shape: tuple[Count | str, ...] = Field(
        validation_alias=AliasPath("network_data_format", "inputs", "image", "spatial_shape")
    )

    def notes(self) -> WeightsNotes:
        sides = [side for side in self.shape if isinstance(side, int)]
        if len(self.shape) != 3 or len(sides) != 3:
            return WeightsNotes()
        return WeightsNotes(position_grid=token_grid((sides[0], sides[1], sides[2])))


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
            return _Export.model_validate_json(_read_text(configs / "export.json")).notes()
        if file.parent.name == "models" and (configs / "metadata.json").is_file():
            return _Bundle.model_validate_json(_read_text(configs / "metadata.json")).notes()
    except ValueError as problem:
        raise WeightsError(
            f"{file}: its description can't be understood ({_in_short(problem)}); restore the file and the "
            "bundle that it is part of, or give the bare weights"
        ) from None
    return WeightsNotes()


def _of_metadata(metadata: Mapping[str, str]) -> WeightsNotes:
    if not metadata.get("format", "").startswith("mixcl_auto"):
        return WeightsNotes()
    _refuse_long(sum(map(len, metadata.values())))
    return _Metadata.model_validate(metadata).notes()


def _read_text(path: Path) -> str:
    _refuse_long(path.stat().st_size)
    return read_text(path, what="description of a bundle", remedy="restore the bundle")


def _refuse_long(characters: int) -> None:
    if characters > _LONGEST:
        raise ValueError(f"{characters} characters long, at most {_LONGEST} are read")


def _in_short(problem: ValueError) -> str:
    """The first mistake, by the path of the field; no more of a stranger's file than a line holds."""
    if not isinstance(problem, ValidationError):
        return str(problem)
    first = problem.errors()[0]
    where = ".".join(map(str, first["loc"])) or "the document"
    return f"{where[:80]}: {first['msg'].removeprefix('Value error, ')[:200]}"
