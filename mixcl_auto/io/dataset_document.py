"""``dataset.json`` as a document: read with care, since people write it by hand."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mixcl_auto.errors import DataError
from mixcl_auto.io.files import read_text
from mixcl_auto.records.case import Role
from mixcl_auto.records.record import Record, describe_mistakes

_LARGEST_BYTES = 50_000_000
"""A hundred thousand cases need half of it; a larger file is not what its name says."""


class CaseEntry(Record):
    """An item of ``cases``; paths are absolute or relative to the dataset's folder."""

    id: str
    image: Path
    label: Path | None = None
    patient: str | None = None
    series: str | None = Field(default=None, coerce_numbers_to_str=True)
    label_flips: str | None = Field(default=None, pattern="^i?j?k?$")


class DatasetDocument(BaseModel):
    """The keys of ``dataset.json`` that matter here; all others are the user's own."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    role: Role | None = None
    labels: dict[str, Any]
    channel_names: dict[str, str] | None = None
    modality: dict[str, str] | None = None
    """The name of ``channel_names`` in the Medical Segmentation Decathlon."""
    file_ending: str = Field(default=".nii.gz", pattern=r"^\.[A-Za-z0-9.]+$")
    cases: tuple[CaseEntry, ...] | None = None


def read_document(path: Path) -> DatasetDocument:
    """Read ``dataset.json``.

    Raises:
        DataError: if it is missing or no UTF-8 text, if it is not JSON, if a key stands twice (JSON's readers
            keep the last one without a word), or if keys are missing or of the wrong type, all named at once.
    """
    if path.is_file() and path.stat().st_size > _LARGEST_BYTES:
        raise DataError(
            f"{path}: {path.stat().st_size / 1e6:.0f} MB are too much for a dataset's description; see "
            "raw_data_template for examples"
        )
    text = read_text(path, what="dataset description", remedy="see raw_data_template for examples")
    if not text.strip():
        raise DataError(f"{path}: the file is empty; see raw_data_template for examples")
    value = _parse(text, path)
    if not isinstance(value, dict):
        raise DataError(
            f"{path}: the outermost value must be an object, {{...}}; see raw_data_template for examples"
        )
    try:
        return DatasetDocument.model_validate(value)
    except ValidationError as problem:
        raise DataError(describe_mistakes(problem, str(path))) from None


def _parse(text: str, path: Path) -> Any:
    twice: list[str] = []

    def note_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=note_repeated)
    except json.JSONDecodeError as problem:
        raise DataError(f"{path}: not JSON ({problem}); correct that line") from None
    except (RecursionError, ValueError) as problem:
        reason = (
            "nested too deeply" if isinstance(problem, RecursionError) else "a number has too many digits"
        )
        raise DataError(f"{path}: can't be used ({reason}); see raw_data_template for examples") from None
    if twice:
        keys = ", ".join(dict.fromkeys(twice))
        raise DataError(f"{path}: keys given twice: {keys}; keep one of each, or rename one")
    return value
